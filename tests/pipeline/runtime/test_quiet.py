import os

import pytest

from pipeline.runtime.quiet import silence_stderr


def test_what_a_library_writes_is_dropped_and_what_comes_after_is_not(capfd):
    with silence_stderr():
        os.write(2, b"noise")
    os.write(2, b"word")
    assert capfd.readouterr().err == "word"


def test_also_after_an_error(capfd):
    with pytest.raises(ZeroDivisionError), silence_stderr():
        raise ZeroDivisionError
    os.write(2, b"word")
    assert capfd.readouterr().err == "word"
