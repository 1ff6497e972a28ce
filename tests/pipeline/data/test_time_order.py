import numpy as np
import pandas as pd
import pytest

from pipeline.data.time_order import describe_periods, draw_by_time, read_times
from pipeline.runtime.errors import PipelineError

FRACTIONS = {"test": 0.2, "val": 0.16}


def make_manifest(*times: str) -> pd.DataFrame:
    return pd.DataFrame({"name": [f"{i}.png" for i in range(len(times))], "time": pd.Series(times, dtype="str")})


def draw(times: list[float], groups: list[str] | None = None, **fractions: float) -> list[str]:
    names = groups or [str(i) for i in range(len(times))]
    return draw_by_time(pd.Series(times, dtype=float), pd.Series(names), fractions or FRACTIONS).tolist()


class TestRead:
    def order(self, *times: str) -> list[int]:
        return read_times(make_manifest(*times)).argsort().tolist()

    @pytest.mark.parametrize(
        "times",
        [
            ("2019", "2021", "2020"),
            ("-1.5", "1e3", "7"),
            ("2019-05-31", "2021-01-01", "2020-12-31"),
            ("2024-05-31T18:02:11", "2024-05-31T18:02:11.5", "2024-05-31 18:02:11.25"),
            ("2024-05-31T18:02:11+02:00", "2024-05-31T18:02:11Z", "2024-05-31T17:00:00"),
            ("2024:05:31 18:02:11", "2024:06:01 00:00:00", "2024:05:31 18:02:12"),
            (" 2019 ", "2021", "2020"),
        ],
    )
    def test_numbers_and_dates_have_an_order(self, times):
        assert self.order(*times) == [0, 2, 1]

    @pytest.mark.parametrize("wrong", ["", "03/04/2024", "yesterday", "inf", "nan", "2024-13-01"])
    def test_what_is_no_time_is_refused_with_the_image(self, wrong):
        for right in ("2024-05-31", "2024"):
            with pytest.raises(PipelineError, match=r"1 of 3 images have no time .* such as '1.png'") as caught:
                read_times(make_manifest(right, wrong, right))
            assert (repr(wrong) if wrong else "nothing") in str(caught.value)

    def test_numbers_and_dates_do_not_mix(self):
        with pytest.raises(PipelineError, match=r"2 of 3 images .* such as '0.png'"):
            read_times(make_manifest("2024-05-31", "2024", "2024-06-01"))

    @pytest.mark.parametrize("manifest", [make_manifest("", ""), make_manifest("1", "2").drop(columns="time")])
    def test_a_source_without_times_is_refused_with_the_parameter(self, manifest):
        with pytest.raises(PipelineError, match=r"no image has a time.*data\.label_columns\.time"):
            read_times(manifest)


class TestDraw:
    def test_the_newest_are_test_and_those_before_them_val(self):
        times = np.random.default_rng(1).permutation(100).astype(float)
        split = draw(times.tolist())
        assert [split.count(name) for name in ("train", "val", "test")] == [64, 16, 20]
        ranges = {name: times[[s == name for s in split]] for name in ("train", "val", "test")}
        assert ranges["train"].max() < ranges["val"].min()
        assert ranges["val"].max() < ranges["test"].min()

    def test_one_split_alone(self):
        assert draw([3, 1, 2, 5, 4], val=0.4) == ["train", "train", "train", "val", "val"]

    def test_images_of_one_time_are_not_divided(self):
        times = [1] * 30 + [2] * 40 + [3] * 15 + [4] * 15
        split = draw(times)
        assert {(t, s) for t, s in zip(times, split, strict=True)} == {
            (1, "train"),
            (2, "train"),
            (3, "val"),
            (4, "test"),
        }

    def test_a_group_goes_where_its_newest_image_belongs(self):
        times = list(range(100))
        groups = [str(i) for i in times]
        groups[0] = groups[99]
        split = draw(times, groups)
        assert split[0] == split[99] == "test"
        assert split.count("test") == 20

    def test_where_all_have_one_time_there_is_one_split(self):
        assert set(draw([7] * 10)) == {"train"}

    def test_newer_images_leave_old_ones_in_train(self):
        before, after = draw(list(range(100))), draw(list(range(150)))
        assert after[:64] == before[:64] == ["train"] * 64


def test_periods_are_described_by_the_texts_of_the_source():
    manifest = make_manifest("2019-05-31", "2021-01-01", "2020-12-31", "2020-01-01")
    split = pd.Series(["train", "test", "val", "train"])
    assert describe_periods(manifest["time"], read_times(manifest), split) == (
        "train from 2019-05-31 to 2020-01-01, val from 2020-12-31 to 2020-12-31, test from 2021-01-01 to 2021-01-01"
    )
