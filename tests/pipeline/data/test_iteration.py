import pytest

pytestmark = pytest.mark.usefixtures("tensorflow")


def test_elements_come_as_before_and_nothing_tunes_them():
    import tensorflow as tf

    from pipeline.data.iteration import read_untuned

    numbers = tf.data.Dataset.range(10).map(lambda number: number * 2, tf.data.AUTOTUNE).batch(3)
    untuned = read_untuned(numbers.prefetch(tf.data.AUTOTUNE))
    assert [batch.tolist() for batch in untuned.as_numpy_iterator()] == [[0, 2, 4], [6, 8, 10], [12, 14, 16], [18]]
    assert untuned.options().autotune.enabled is False


def test_what_is_made_of_an_untuned_dataset_is_untuned():
    import tensorflow as tf

    from pipeline.data.iteration import read_untuned

    numbers = read_untuned(tf.data.Dataset.range(3))
    made = [numbers.map(lambda number: number + 1), numbers.flat_map(lambda number: tf.data.Dataset.range(number))]
    made += [numbers.repeat(), tf.data.Dataset.zip(numbers, tf.data.Dataset.range(3))]
    assert [dataset.options().autotune.enabled for dataset in made] == [False] * len(made)
