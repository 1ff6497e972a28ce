import numpy as np
import pytest

from pipeline.evaluation.metrics import make_confusion_table
from pipeline.report.charts.mistakes import draw_confusion
from tests.pipeline.report.charts.svg import read_texts
from tests.pipeline.report.charts.tables import make_names


@pytest.mark.parametrize(("num_classes", "has_text"), [(15, True), (16, False)])
def test_cells_of_a_small_matrix_have_numbers_those_of_a_large_one_do_not(num_classes, has_text):
    names, labels = make_names(num_classes, "class"), np.arange(3 * num_classes) % num_classes
    written = read_texts(draw_confusion(make_confusion_table(labels, np.roll(labels, 1), names), names))
    assert ("%" in written) == has_text


@pytest.mark.parametrize(("num_classes", "are_named"), [(60, True), (61, False)])
def test_classes_are_named_as_long_as_there_is_room(num_classes, are_named):
    names, labels = make_names(num_classes, "class"), np.arange(num_classes)
    assert ("class 1" in read_texts(draw_confusion(make_confusion_table(labels, labels, names), names))) == are_named
