"""``python -m mclir_basicsr`` is ``mclir``; torchrun takes it by ``-m``."""

import sys

from mclir_basicsr.commands.cli import main

sys.exit(main())
