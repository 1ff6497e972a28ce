"""Progress bars: redrawn on a terminal, one line every 15 s in a log."""

import sys
from functools import partial

from tqdm import tqdm

progress_bar = partial(tqdm, mininterval=0.5 if sys.stderr.isatty() else 15.0, dynamic_ncols=True)
