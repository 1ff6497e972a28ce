from pipeline.report.sections.sample_predictions import describe_samples
from tests.pipeline.report.pictures import CAT, DOG, album, get_numbers, make_result


def describe(*guesses: tuple[int, int, float], seed: int = 42) -> list:
    return describe_samples(make_result(*guesses).predictions, album, seed)["samples"]


def test_twelve_test_images_are_shown_half_of_them_mistakes():
    samples = describe(*[(CAT, DOG, 0.7)] * 20, *[(DOG, DOG, 0.9)] * 20)
    assert [sample["hit"] for sample in samples] == [False] * 6 + [True] * 6
    assert len(set(get_numbers(samples))) == 12


def test_each_has_both_classes_and_both_probabilities():
    wrong, right = describe((CAT, DOG, 0.7), (DOG, DOG, 0.9))
    assert (wrong["predicted"], wrong["confidence"], wrong["label"], wrong["true_confidence"]) == (
        "dog",
        0.7,
        "cat",
        0.15,
    )
    assert (right["predicted"], right["confidence"], right["label"], right["true_confidence"]) == (
        "dog",
        0.9,
        "dog",
        0.9,
    )


def test_a_family_without_mistakes_has_samples_too():
    assert [sample["hit"] for sample in describe(*[(CAT, CAT, 0.9)] * 3)] == [True] * 3


def test_the_seed_decides_which_are_drawn_and_the_page_says_it():
    guesses = [(CAT, DOG, 0.7)] * 20 + [(DOG, DOG, 0.9)] * 20
    one, other = (get_numbers(describe(*guesses, seed=seed)) for seed in (1, 2))
    assert one == get_numbers(describe(*guesses, seed=1))
    assert set(one) != set(other)
    assert describe_samples(make_result(*guesses).predictions, album, 7)["sample_seed"] == 7
