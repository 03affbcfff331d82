"""Put a filter on the system calls of a command, hand over its listener, become the command.

    python launcher.py SOCKET FILTER COMMAND...

SOCKET is the number of an inherited socket that the listener is sent through, FILTER the program
of the filter (struct sock_filter, one after the other) in hexadecimal digits.
"""

import ctypes
import os
import platform
import socket
import sys

NO_NEW_PRIVS = 38  # for prctl: the kernel then takes a filter from everybody
FILTER_MODE, NEW_LISTENER = 1, 8
SECCOMP = {"x86_64": 317, "aarch64": 277}[platform.machine()]
INSTRUCTION_BYTES = 8


class Program(ctypes.Structure):
    """What the kernel calls struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def main(channel: socket.socket, code: bytes, command: list[str]) -> None:
    """Do it all; raises OSError where the kernel has no such filters."""
    libc = ctypes.CDLL(None, use_errno=True)
    program = Program(len(code) // INSTRUCTION_BYTES, code)
    libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0)
    listener = libc.syscall(SECCOMP, FILTER_MODE, NEW_LISTENER, ctypes.byref(program))
    if listener < 0:
        raise OSError(ctypes.get_errno(), "cannot filter system calls")
    socket.send_fds(channel, [b"."], [listener])
    os.close(listener)
    channel.close()
    os.execvp(command[0], command)  # noqa: S606 - a process it is already


main(socket.socket(fileno=int(sys.argv[1])), bytes.fromhex(sys.argv[2]), sys.argv[3:])
