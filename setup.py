"""Build step that pyproject.toml cannot express: two small files beside the package.

Python runs a ``.pth`` file of site-packages at start-up, and from 3.15 on the ``.start`` file of the same name in its
place (PEP 829); ours let a stock BasicSR find the plugin (see mclir_basicsr/autoload.py). They have to be in the wheel
and in an editable install alike.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

START_UP = ('mclir_basicsr.pth', 'mclir_basicsr.start')


class BuildWithStartUp(build_py):
    """build_py that also lays the start-up files at the root of what gets installed."""

    def run(self) -> None:
        """Copy the package, then the start-up files."""
        super().run()
        # An editable install takes modules from the source tree and ignores build_lib; what is to lie
        # in site-packages itself goes where the install command was pointed to.
        install = self.get_finalized_command('install')
        root = install.install_lib if self.editable_mode else self.build_lib
        for name in START_UP:
            self.copy_file(str(Path(__file__).parent / name), str(Path(root) / name))

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Files that this command made."""
        outputs = super().get_outputs(include_bytecode)
        return outputs if self.editable_mode else [*outputs, *(str(Path(self.build_lib) / name) for name in START_UP)]


setup(cmdclass={'build_py': BuildWithStartUp})
