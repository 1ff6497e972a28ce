"""Binary PGM and PPM of 16 bits per sample: Pillow cuts such colours to 8 bits, and says that such grey has 32.

The formats: https://netpbm.sourceforge.net/doc/ppm.html and pgm.html.
"""

import re

import numpy as np

from pipeline.data.deep_pixels import DeepPixelsError, Header, Samples

_BANDS = {b"5": 1, b"6": 3}
_FIELD = (
    rb"(?:\s|#[^\r\n]*+)++(\d{1,10}+)"  # behind blanks and comments; possessive, so that no header takes long to refuse
)
_HEADER = re.compile(rb"P([56])" + _FIELD * 3 + rb"\s")
_TOP = 65535
_ROWS = 1 << 20  # samples converted at a time, so that memory is bounded


def read_netpbm_header(data: bytes) -> Header | None:
    """None for one that is not binary, or has 8 bits or fewer."""
    found = _HEADER.match(data)
    if found is None or not 255 < int(found[4]) <= _TOP:
        return None
    return Header(int(found[2]), int(found[3]), _BANDS[found[1]], np.dtype(np.uint16))


def read_netpbm(data: bytes) -> Samples:
    """uint16, of which 65535 is the largest value that the header allows. Raises DeepPixelsError if samples are missing."""
    header, found = read_netpbm_header(data), _HEADER.match(data)
    assert header is not None
    assert found is not None
    count, most = header.width * header.height * header.samples, int(found[4])
    if len(data) - found.end() < 2 * count:
        raise DeepPixelsError(f"cut off: expected {2 * count:,} bytes of pixels, received {len(data) - found.end():,}")
    values = np.frombuffer(data, ">u2", count, found.end()).astype(np.uint16)
    if most < _TOP:
        for start in range(0, count, _ROWS):
            part = values[start : start + _ROWS]
            part[:] = np.minimum(np.rint(part * (_TOP / most)), _TOP)
    shape = (header.height, header.width, header.samples)
    return Samples(values.reshape(shape if header.samples > 1 else shape[:2]), has_alpha=False)
