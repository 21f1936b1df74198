"""The command line: `healthsync --help` teaches, each command lives in a file of its own and is loaded when it is used.

What was raised on purpose ends as one sentence on standard error and exit code 1 (a JSON object with `--json`); a wrong
call ends with 2; a command may return its own exit code. A traceback is shown only with `healthsync --debug …`, because
the text of an unexpected exception may carry a patient's data.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pkgutil import resolve_name
from typing import Any, NoReturn

import click

from healthsync import __version__
from healthsync.errors import HealthSyncError

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells use it (128 + SIGINT)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A command: the section of the help it stands in, where it is, and its sentence."""

    section: str
    target: str
    sentence: str


def _entry(section: str, module: str, sentence: str) -> Entry:
    return Entry(section, f"healthsync.entrypoints.cli.{module}:command", sentence)


COMMANDS = {
    "demo": _entry("Begin", "demo", "A hub with three simulated hospitals on this machine: watch it work."),
    "init": _entry("Begin", "init", "Make the data folder of a new hub: commented settings and new keys."),
    "serve": _entry("Begin", "serve", "Run a hub."),
    "doctor": _entry("Begin", "doctor", "Tell what this machine offers, what is missing and what to do."),
    "config": _entry("Set up", "config", "Check configuration documents before they are used."),
    "client": _entry("Set up", "client", "Programs that may use the API: create, list, revoke."),
    "partner": _entry("Set up", "partner", "Systems that send HL7 v2 messages: add, list."),
    "destination": _entry("Set up", "destination", "Systems that get HL7 v2 messages: add, list, pause, retry."),
    "package": _entry("Set up", "package", "FHIR packages, whose profiles resources are held to: add, list, remove."),
    "terminology": _entry("Set up", "terminology", "Codes and value sets: compile them anew."),
    "enrichment": _entry("Set up", "enrichment", "Tables of what messages leave out: check them."),
    "send": _entry("Work", "send", "Send HL7 v2 files over MLLP and show the acknowledgements."),
    "hl7": _entry("Work", "hl7", "Explain what HL7 v2 files become, field by field, without a hub."),
    "messages": _entry("Work", "messages", "Every message received: list, show, replay."),
    "quality": _entry("Work", "quality", "How good each source is: report, review, contract."),
    "handlers": _entry("Work", "handlers", "Handlers of applications: run, list, dead letters, replay."),
    "import": _entry("Work", "import_files", "Bring NDJSON files in: validated, with a file of rejects."),
    "export": _entry("Work", "export", "Write what a role may see to NDJSON files."),
    "identity": _entry("Work", "identity", "Who is who: link files; review, merge, unmerge, report in a hub."),
    "jobs": _entry("Work", "jobs", "Long work: list, show, cancel."),
    "reindex": _entry("Work", "reindex", "Add what the search index lacks, for every resource."),
    "audit": _entry("Work", "audit", "The record of every access: export it, verify it."),
    "version": _entry("Work", "version", "The version of HealthSync, Python and the FHIR release."),
}


class Commands(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command. None for an unknown name; a command whose module is absent says so."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        try:
            return resolve_name(entry.target)
        except ModuleNotFoundError as error:
            if error.name != entry.target.partition(":")[0]:
                raise
            return _absent(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name near commands for a mistyped one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = get_close_matches(args[0], COMMANDS, n=2)
            if not near:
                raise
            raise click.UsageError(f"No command '{args[0]}'; did you mean {' or '.join(near)}?", ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands by section, from the table: nothing is imported for a help text."""
        width = max(map(len, COMMANDS))
        for section in dict.fromkeys(entry.section for entry in COMMANDS.values()):
            with formatter.section(section):
                formatter.write_dl(
                    [
                        (name.ljust(width), entry.sentence)
                        for name, entry in COMMANDS.items()
                        if entry.section == section
                    ]
                )

    def main(self, args: Sequence[str] | None = None, *_: Any, **extra: Any) -> NoReturn:
        """Run one command and end the process with its exit code."""
        arguments = list(sys.argv[1:] if args is None else args)
        extra["standalone_mode"] = False
        try:
            result = super().main(arguments, **extra)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(0)
        except click.ClickException as error:
            _tell(error.format_message(), "invalid", arguments, error.show)
            sys.exit(error.exit_code)
        except (click.Abort, KeyboardInterrupt):
            sys.exit(INTERRUPTED)
        except BrokenPipeError:  # the reader has gone away: `healthsync messages list | head`
            sys.stderr.close()
            sys.exit(0)
        except HealthSyncError as error:
            _tell(str(error), error.code, arguments)
            sys.exit(1)
        except Exception as error:
            if "--debug" in arguments:
                raise
            sentence = f"an unexpected {type(error).__name__}; run again as: healthsync --debug {' '.join(arguments)}"
            _tell(sentence, "exception", arguments)
            sys.exit(1)
        sys.exit(result if isinstance(result, int) else 0)


def _tell(sentence: str, code: str, arguments: list[str], show: Any = None) -> None:
    if "--json" in arguments:
        click.echo(json.dumps({"error": {"code": code, "message": sentence}}, ensure_ascii=False), err=True)
    elif show:
        show()
    else:
        click.echo(f"healthsync: {sentence}", err=True)


def _absent(name: str) -> click.Command:
    def refuse(**_: Any) -> NoReturn:
        raise click.ClickException(f"'{name}' is not part of this version; see CHANGELOG.md")

    return click.Command(
        name,
        callback=refuse,
        params=[click.Argument(["arguments"], nargs=-1)],
        context_settings={"ignore_unknown_options": True},
        help=f"{COMMANDS[name].sentence} Not part of this version.",
    )


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="A first hub:  healthsync init ./hub --development  ·  healthsync serve --data ./hub",
)
@click.version_option(__version__, prog_name="healthsync")
@click.option("--debug", is_flag=True, help="Show the traceback of an unexpected error.")
def main(debug: bool) -> None:
    """HealthSync: HL7 v2 and FHIR in, one patient record, encrypted, consented and audited out."""
