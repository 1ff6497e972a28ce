import pytest

from pipeline.doctor.cuts import Cut, Cuts, estimate_image, pick_measured, write_cuts

SPLITS = {"train": 1_000, "val": 200, "test": 300}
FOUND = [
    Cut(1, (80, 80, 16), 0.9, 3_000_000),
    Cut(2, (20, 20, 40), 0.5, 2_000_000),
    Cut(4, (5, 5, 192), 0.3, 1_000_000),
    Cut(5, (5, 5, 320), 0.1, 400_000),
]
MEASURED = {1: 0.018, 2: 0.010, 5: 0.002}
SECONDS = {0.9: 0.018, 0.5: 0.010, 0.1: 0.002}


def write(views: int = 1, *, free: int = 10**12, memory: int = 10**12, chosen: int | None = 4, **changes) -> list[str]:
    cuts = Cuts("lite_fine_tuned", 160, chosen, 3_100_000, FOUND, measured=MEASURED, **changes)
    return write_cuts(cuts, SPLITS, views, free=free, memory=memory)


def read_row(lines: list[str], name: str) -> str:
    [row] = [line for line in lines if line.partition("  ")[0] == name]
    return row


def test_a_row_says_what_a_cut_takes():
    row = read_row(write(), "block 2")
    size = (2 * 1_000 + 200) * 20 * 20 * 40 * 2  # train with a view, and val, in float16
    assert row.split("  ")[1].strip() == "20 × 20 × 40"
    assert f"{size / 1e6:.0f} MB" in row
    assert row.split()[-5:] == ["50", "%", "2,000,000", "11", "s"]  # 1,070 × 10 ms


def test_views_take_disk_and_no_time():
    plain, viewed = (read_row(write(views), "block 1") for views in (0, 3))
    assert f"{1_200 * 80 * 80 * 16 * 2 / 1e6:.0f} MB" in plain
    assert f"{4_200 * 80 * 80 * 16 * 2 / 1e6:.0f} MB" in viewed
    assert plain.split()[-2:] == viewed.split()[-2:]


def test_the_recipes_own_is_marked_and_so_are_pixels_where_it_has_none():
    assert read_row(write(), "block 4*")
    row = read_row(write(chosen=None), "null*")
    assert row.split()[1:] == ["pixels", "0", "100", "%", "3,100,000", "21", "s"]


def test_what_does_not_fit_is_marked():
    rows = {
        cut.block: read_row(write(free=10**8, memory=50 * 10**6, chosen=None), f"block {cut.block}") for cut in FOUND
    }
    assert rows[1].endswith("does not fit: 100 MB free")
    assert rows[2].endswith("more than the memory of 50 MB: each epoch reads the disk")
    assert rows[4].endswith("s")


def test_columns_are_aligned():
    rows = write()[1:7]
    assert len({row.index("×") - len(row.split("  ")[1].split("×")[0]) for row in rows[1:5]}) <= 2
    assert len({len(row) for row in rows}) == 1


def test_where_it_cant_be_cut_is_said_once_for_each_reason():
    lines = write(refused={3: "other branches flow past it", 6: "too late", 7: "too late"})
    assert lines[-2:] == ["not after 3: other branches flow past it", "not after 6, 7: too late"]


class TestMeasured:
    def test_first_middle_and_last(self):
        assert [cut.block for cut in pick_measured(FOUND)] == [1, 2, 5]

    @pytest.mark.parametrize("count", [1, 2])
    def test_of_fewer_cuts_each_once(self, count):
        assert pick_measured(FOUND[:count]) == FOUND[:count]


class TestEstimate:
    @pytest.mark.parametrize("share", SECONDS)
    def test_what_was_measured_is_as_it_was(self, share):
        assert estimate_image(share, SECONDS) == SECONDS[share]

    def test_between_it_lies_on_a_line(self):
        assert estimate_image(0.3, SECONDS) == pytest.approx(0.006)
        assert estimate_image(0.7, {0.9: 0.02, 0.5: 0.01}) == pytest.approx(0.015)

    def test_outside_it_is_in_proportion(self):
        assert estimate_image(1.0, SECONDS) == pytest.approx(0.02)
        assert estimate_image(0.05, SECONDS) == pytest.approx(0.001)

    def test_one_measurement_is_enough(self):
        assert estimate_image(0.25, {0.5: 0.01}) == pytest.approx(0.005)
