"""Errors of a command: one sentence on stderr, exit code 2 (wrong input) or 130 (Ctrl-C)."""

from __future__ import annotations

import copy
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from fastgmm.errors import MissingDependencyError

WRONG_INPUT = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells count
SETTING = re.compile(r"The '(\w+)' parameter of \w+")  # the first words of an estimator's error
OPTIONS = {
    "n_components": "--components (-k)",
    "covariance_type": "--covariance",
    "init_params": "--init",
    "random_state": "--seed",
    "weight_concentration_prior": "--concentration",
}
WAYS_OUT = {
    "leave the column out": "leave the column out (--columns)",
    "columns=[...]": "--columns",
    "header=False": "--no-header",
    "header=True": "--header",
    "GaussianMixture(missing='em')": "fit --missing 'em'",
    **{f"{option}=...": f"--{option}" for option in ("delimiter", "decimal", "encoding")},
}
EXPECTED = (ValueError, OSError, MissingDependencyError, MemoryError)
# typer carries its own copy of click from 0.24 on: this is UsageError in either
UsageError: type[Exception] = typer.BadParameter.__bases__[0]


class Commands(TyperGroup):
    """A group of commands that says what went wrong in one sentence."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; print each warning and error as one sentence."""
        with warnings.catch_warnings(), one_sentence():
            warnings.simplefilter("default")
            warnings.showwarning = _say_warning  # type: ignore[assignment]
            return super().invoke(ctx)

    def main(self, *args: Any, **options: Any) -> NoReturn:
        """Run the command line and exit with its code."""
        options["standalone_mode"] = False
        try:
            code = super().main(*args, **options)
        except UsageError as error:
            if sentence := _sentence(error):  # empty if the help was shown
                say(f"{sentence} (see: {_help_of(error)})")
            code = WRONG_INPUT
        sys.exit(code if isinstance(code, int) else 0)


class Command(TyperCommand):
    """A command that refuses two values of an option that takes one: typer takes the last."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments, and once more each option that was given several times."""
        given = list(args)
        rest = super().parse_args(ctx, args)
        *_, order = self.make_parser(ctx).parse_args(args=list(given))
        for option, times in Counter(order).items():
            if times > 1 and option.param_type_name == "option" and not option.multiple:
                self._refuse_two_values(ctx, option, given)
        return rest

    def _refuse_two_values(self, ctx: Any, option: Any, given: list[str]) -> None:
        collecting = copy.copy(option)
        collecting.multiple = True
        parser = self.make_parser(ctx)
        collecting.add_to_parser(parser, ctx)
        values = list(dict.fromkeys(parser.parse_args(args=list(given))[0][option.name]))
        if len(values) > 1:
            flags = {True: option.opts, False: option.secondary_opts}
            shown = [flags[each][0] if option.is_flag else repr(each) for each in values]
            ctx.fail(
                f"{' / '.join(option.opts)} takes one value and was given {' and '.join(shown)}; "
                "leave out all but one"
            )


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turn errors that a user can cause into one sentence on stderr and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        say("interrupted; no output was written")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        raise  # the reader of our output has closed it: typer ends silently
    except EXPECTED as error:
        say(_sentence(error))
        raise typer.Exit(WRONG_INPUT) from error


def say(sentence: str) -> None:
    """Print a sentence on stderr."""
    print(f"fastgmm: {sentence}", file=sys.stderr)


def _sentence(error: Exception) -> str:
    if isinstance(error, UsageError):
        text = error.format_message()  # type: ignore[attr-defined]
    elif isinstance(error, MemoryError):
        text = f"not enough memory: {error}"
    elif isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{str(error.filename)!r}: {error.strerror}"
    else:
        text = SETTING.sub(_option, str(error))
        for said, meant in WAYS_OUT.items():
            text = text.replace(said, meant)
    return " ".join(text.split())


def _option(setting: re.Match[str]) -> str:
    """Return the command's option for a parameter of the estimator."""
    return f"the option {OPTIONS.get(setting[1], '--' + setting[1].replace('_', '-'))}"


def _help_of(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.command_path if context else 'fastgmm'} --help"


def _say_warning(message: Warning | str, *_: Any) -> None:
    say(f"warning: {' '.join(str(message).split())}")
