"""Build step that pyproject.toml cannot express: one ``.pth`` file beside the package.

Python runs a ``.pth`` file of site-packages at start-up; ours lets a stock BasicSR find the plugin
(see mclir_basicsr/autoload.py). It has to be in the wheel and in an editable install alike.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PTH_NAME = 'mclir_basicsr.pth'


class BuildWithPth(build_py):
    """build_py that also lays the start-up file at the root of what gets installed."""

    def run(self) -> None:
        """Copy the package, then the start-up file."""
        super().run()
        # An editable install takes modules from the source tree and ignores build_lib; what is to lie
        # in site-packages itself goes where the install command was pointed to.
        install = self.get_finalized_command('install')
        root = install.install_lib if self.editable_mode else self.build_lib
        self.copy_file(str(Path(__file__).parent / PTH_NAME), str(Path(root) / PTH_NAME))

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Files that this command made."""
        outputs = super().get_outputs(include_bytecode)
        return outputs if self.editable_mode else [*outputs, str(Path(self.build_lib) / PTH_NAME)]


setup(cmdclass={'build_py': BuildWithPth})
