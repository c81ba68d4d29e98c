"""The system calls that a sandboxed program may not make, as a seccomp filter (classic BPF) for x86-64 and AArch64.

Everything a calculation needs stays; what reaches beyond the process (tracing, mounts, namespaces, sockets, keys, locks of files,
interfaces of the kernel) fails with EPERM. Numbers: the kernel's `asm/unistd_64.h` and `asm-generic/unistd.h`; format: seccomp(2),
linux/filter.h.
"""

from __future__ import annotations

import errno
import platform
import struct

# name: (x86-64, AArch64); None where the architecture lacks it
DENIED: dict[str, tuple[int | None, int | None]] = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "statmount": (457, 457),  # these two name every mount of the namespace, and so folders of this machine
    "listmount": (458, 458),
    "flock": (73, 32),  # a file that can only be read can be locked all the same, against processes of this machine
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "vhangup": (153, 58),
    "personality": (135, 92),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "socket": (41, 198),  # socketpair stays: it reaches nobody else, and asyncio needs it
    "bind": (49, 200),
    "connect": (42, 203),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    "shmget": (29, 194),  # System V objects would outlive the program
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "semget": (64, 190),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "semctl": (66, 191),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "memfd_create": (319, 279),  # memory that no limit of ours counts
    "memfd_secret": (447, 447),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "lookup_dcookie": (212, 18),
    "mbind": (237, 235),
    "set_mempolicy": (238, 237),
    "set_mempolicy_home_node": (450, 450),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
}
CLONE, CLONE3, IOCTL, FCNTL = (56, 220), (435, 435), (16, 29), (72, 25)
NEWEST = 462  # later calls are unknown to this list: ENOSYS
NAMESPACES = 0x7E020000  # every CLONE_NEW* flag that clone knows
TERMINAL_INPUT = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX: typing into a terminal
LOCKS = (6, 7, 37, 38, 1024, 1026)  # F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW, F_SETLEASE, F_NOTIFY

_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_LOAD, _EQUAL, _GREATER, _ANY_BIT, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND = 0, 4, 16, 24  # offsets in struct seccomp_data; low halves of the arguments
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000


def build(machine: str | None = None) -> bytes:
    """The filter's instructions, 8 bytes each; empty where the architecture (default: this one) is neither of the two."""
    machine = machine or platform.machine()
    if machine not in _ARCHITECTURES:
        return b""
    column, audit = _ARCHITECTURES[machine]
    refuse = _ERRNO | errno.EPERM
    code = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, audit), (_RETURN, 0, 0, _KILL)]  # 32-bit calls have other numbers
    code += [
        (_LOAD, 0, 0, _NUMBER),
        *_if(_GREATER, NEWEST, _ERRNO | errno.ENOSYS),
    ]  # x32 calls too: their numbers are above 2**30
    for numbers in DENIED.values():
        if (number := numbers[column]) is not None:
            code += _if(_EQUAL, number, refuse)
    code += _if(
        _EQUAL, CLONE3[column], _ERRNO | errno.ENOSYS
    )  # its flags are behind a pointer; the C library falls back to clone
    flags = [(_LOAD, 0, 0, _FIRST), *_if(_ANY_BIT, NAMESPACES, refuse), (_LOAD, 0, 0, _NUMBER)]
    code += [(_EQUAL, 0, len(flags), CLONE[column]), *flags]
    for call, requests in ((IOCTL, TERMINAL_INPUT), (FCNTL, LOCKS)):
        asked = [line for request in requests for line in _if(_EQUAL, request, refuse)]
        block = [(_LOAD, 0, 0, _SECOND), *asked, (_LOAD, 0, 0, _NUMBER)]
        code += [(_EQUAL, 0, len(block), call[column]), *block]
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *line) for line in code)


def _if(test: int, value: int, verdict: int) -> list[tuple[int, int, int, int]]:
    return [(test, 0, 1, value), (_RETURN, 0, 0, verdict)]
