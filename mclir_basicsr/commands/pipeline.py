"""``mclir train`` and ``mclir test``: BasicSR's pipelines, behind a look at their option file."""

import sys
from collections.abc import Callable

from mclir_basicsr.commands import import_flag, pipeline_flags
from mclir_basicsr.errors import MclirError


def run(name: str, flags: list[str], say: Callable[..., None]) -> int:
    """Run BasicSR's train or test pipeline; ``--root DIR``: its experiments or results go there.

    Args:
        name: ``train`` or ``test``.
        flags: BasicSR's and ours.
        say: Takes lines for the user.

    Returns:
        The exit status, 0.

    Raises:
        MclirError: The flags or the option file cannot be used.
    """
    flags, root, fast, imports = pipeline_flags.own_flags(flags)
    if fast and name == 'test':
        raise MclirError('--fast is for train; test tries nothing out that it could leave out.')
    opt = pipeline_flags.option_file(flags)
    from mclir_basicsr.plugin import register

    register()
    say(*import_flag.follow(imports))
    if opt is not None and pipeline_flags.is_first_rank():
        from mclir_basicsr.check import start
        from mclir_basicsr.check.preflight import check, check_test

        if name == 'train':
            notes = check(opt, root, auto_resume='--auto_resume' in flags, here=True, fast=fast)
            start.note_examined(opt)
        else:
            pipeline_flags.refuse_training_file(opt)
            notes = check_test(opt, root)
        say(*notes)
    sys.argv = [f'mclir {name}', *flags]
    if name == 'train':
        from basicsr.train import train_pipeline

        from mclir_basicsr.run import progress

        with progress.shown():
            train_pipeline(str(root))
    else:
        from basicsr.test import test_pipeline

        test_pipeline(str(root))
    return 0
