"""`drip demo`: serve a page on which pictures are cut out, or write it out to be served elsewhere."""

import argparse
import os
import signal
import socket
import sys
import tempfile
import threading
from importlib.util import find_spec
from pathlib import Path

from drip_lightning.cli.matte_model import MatteModel, add_model_options
from drip_lightning.cli.parser import OneLineParser
from drip_lightning.errors import InputError, Stopped

_DESCRIPTION = """\
Serve a page in the browser: drop a picture, paint what you know of it, see alpha, foreground and the cut-out over
any backdrop, and download what drip matte would write. Nothing is sent elsewhere; files are deleted after an hour, and
when the page ends.

Only this machine can open it, unless --host says otherwise; then anyone who reaches the port may use it.
--export-space writes page and model as files that a Space on Hugging Face runs, or `python app.py` anywhere.
"""
_EXAMPLE = """\
examples:
  drip demo --checkpoint runs/transparency
  drip demo --checkpoint runs/transparency --export-space space
"""
_MOST_UPLOADED = 512 * 1024 * 1024
"""Bytes of an uploaded file; pictures are bounded by their pixels besides."""


def build_parser() -> argparse.ArgumentParser:
    """The options of `drip demo`; imports nothing heavy."""
    parser = OneLineParser(
        prog="drip demo",
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model_options(parser)
    parser.add_argument("--port", type=int, default=7860, metavar="N", help="of the page (default: 7860)")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="where it can be reached (default: 127.0.0.1, here alone)",
    )
    parser.add_argument("--export-space", metavar="DIR", type=Path, help="write the page as files, and do not serve it")
    return parser


def main(arguments: list[str]) -> int:
    """Run `drip demo`.

    Args:
        arguments: What follows `drip demo` on the command line.

    Returns:
        0 once the page was written; one that is served ends by a signal.

    Raises:
        InputError: gradio is missing, the port cannot be used, or there is no such model.
        Stopped: a signal ended it.
    """
    options = build_parser().parse_args(arguments)
    if find_spec("gradio") is None:
        raise InputError("the page needs gradio: pip install 'drip_lightning[demo]'")
    if options.export_space is not None:
        from drip_lightning.cli.demo.space import export_space

        export_space(options.export_space, options)
        return 0
    _require_port(options.host, options.port)
    with tempfile.TemporaryDirectory(prefix="drip-demo-") as folder:
        _serve(MatteModel.of(options, prog="drip demo"), Path(folder), options)
    return 0


def _serve(model: MatteModel, folder: Path, options: argparse.Namespace) -> None:
    # read when gradio is imported
    os.environ |= {"GRADIO_TEMP_DIR": str(folder / "uploads"), "GRADIO_ANALYTICS_ENABLED": "False"}
    from drip_lightning.cli.demo.page import build_page, look

    results = folder / "results"
    results.mkdir()
    page = build_page(model, results)
    try:
        _, url, _ = page.launch(
            server_name=options.host,
            server_port=options.port,
            share=False,
            inbrowser=False,
            quiet=True,
            prevent_thread_lock=True,
            max_file_size=_MOST_UPLOADED,
            enable_monitoring=False,
            **look(),
        )
    except OSError as error:
        raise InputError(_port_line(options.host, options.port, str(error))) from error
    print(f"drip demo: {url} (Ctrl-C ends it)", file=sys.stderr, flush=True)
    try:
        _wait_for_a_signal()
    finally:
        page.close(verbose=False)


def _wait_for_a_signal() -> None:
    def stop(number: int, frame: object) -> None:
        raise Stopped("ended, and its files are deleted", signal_number=number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    threading.Event().wait()


def _require_port(host: str, port: int) -> None:
    """Refuse a port before the model is loaded.

    Raises:
        InputError: it cannot be listened at.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise InputError(_port_line(host, port, reason)) from error


def _port_line(host: str, port: int, reason: str) -> str:
    return f"cannot serve at {host}:{port} ({reason.rstrip('.')}): choose another --port or --host"
