# SPDX-License-Identifier: Apache-2.0
"""The driver's ops as a DIBS client calls them, good and bad, without SMC between."""

from harness import dawdle, dibs, driver, shm
from harness.case import case, expect, expect_equal, wait_until

KIB = 1024
SIZE, SLOTS = 64 << 20, 4


def expect_error(client: dibs.Client, error: str, *commands: str) -> None:
    for command, (answer, got) in zip(commands, client.run(*commands)):
        expect_equal(got, error, f"{command} (answer {answer!r})")


def wait_answer(client: dibs.Client, command: str, wanted: str, what: str) -> None:
    wait_until(lambda: client.ask(command), lambda got: got == wanted, 10,
               f"{what}, expected {wanted}")


def move_and_notify(owner: dibs.Client, writer: dibs.Client) -> None:
    """Through an attachment and without one, with a signal and without."""
    token = owner.register(writer, 64 * KIB)
    writer.ask_all(f"move {token} 8 16 ab 0", f"move {token} {64 * KIB - 8} 8 cd 1")
    wait_answer(owner, f"signals {token}", "1", "signals after one with and one without")
    expect_equal(owner.ask_all(f"peek {token} 0", f"peek {token} 8", f"peek {token} 16",
                               f"peek {token} 24", f"peek {token} {64 * KIB - 8}"),
                 ["0", "ab" * 8, "ab" * 8, "0", "cd" * 8], "what was written")
    expect_equal(writer.ask(f"attach {token}"), str(64 * KIB), "length of the attached DMB")
    writer.ask_all(f"move {token} 0 8 11 1", f"attach {token}", f"detach {token}",
                   f"move {token} 0 8 22 1")
    wait_answer(owner, f"peek {token} 0", "22" * 8, "what was written into it attached")
    wait_answer(owner, f"signals {token}", "3", "signals after two more")
    # Withdrawn while it is attached: no write gets through, and the memory is kept aside.
    owner.ask(f"unregister {token}")
    expect_equal(owner.stat("dmbs_parked"), 1, "DMBs kept aside while attached")
    writer.ask(f"detach {token}")
    expect_error(writer, "ENOENT", f"attach {token}", f"move {token} 0 8 33 1")
    expect_error(writer, "EINVAL", f"detach {token}")
    expect_error(owner, "EINVAL", f"unregister {token}")


def limits(owner: dibs.Client, writer: dibs.Client) -> None:
    gid = writer.gid
    expect_error(owner, "EINVAL", f"register {gid} 0", f"register {gid} {8 * KIB}",
                 f"register {gid} {24 * KIB}", f"register {gid} {2048 * KIB}")
    nobody = "00000000-0000-0000-0000-000000000000"
    expect_error(owner, "ENETUNREACH", f"register {nobody} {16 * KIB}", f"query {nobody}",
                 f"event {nobody} 1 1", f"query {owner.gid}")
    owner.ask(f"query {gid}")
    small, large = owner.register(writer, 16 * KIB), owner.register(writer, 1024 * KIB)
    writer.ask_all(f"move {small} {16 * KIB - 1} 1 1 0", f"move {small} 0 0 0 0",
                   f"move {large} 0 {1024 * KIB} 7f 0")
    expect_error(writer, "EINVAL", f"move {small} {16 * KIB - 1} 2 1 0",
                 f"move {small} {16 * KIB} 1 1 0", f"move {small} 4294967295 2 1 1",
                 f"move {large} 1 {1024 * KIB} 1 0")
    expect_equal(owner.ask(f"peek {large} {1024 * KIB - 8}"), "7f" * 8, "the end of 1 MiB")
    owner.ask_all(f"unregister {small}", f"unregister {large}")
    # One of them has the memory that was just given back.
    again = [owner.register(writer, 1024 * KIB) for _ in range(3)]
    expect_equal(owner.ask_all(*[f"peek {token} {1024 * KIB - 8}" for token in again]), ["0"] * 3,
                 "what new DMBs have in them")
    owner.ask_all(*[f"unregister {token}" for token in again])


def foreign_tokens(owner: dibs.Client, writer: dibs.Client, third: dibs.Client) -> None:
    """Tokens that are another's, made up, or of a slot and an index that do not exist."""
    token = owner.register(writer, 16 * KIB)
    expect_error(third, "EACCES", f"attach {token}", f"move {token} 0 8 1 1")
    expect_error(owner, "EINVAL", f"attach {token}", f"move {token} 0 8 1 1")
    value = int(token, 16)
    other_serial = f"{value + (1 << 32):x}"
    no_slot, no_index = f"{value | 0xff << 16:x}", f"{value | 0x7000:x}"
    other_slot = f"{value ^ 2 << 16:x}"  # 1 becomes 3
    expect_error(writer, "ENOENT", f"attach {other_serial}", f"move {other_serial} 0 8 1 1")
    for wrong in (no_slot, no_index, "0"):
        expect_error(writer, "EINVAL", f"attach {wrong}", f"move {wrong} 0 8 1 1",
                     f"detach {wrong}")
    for command in (f"attach {other_slot}", f"move {other_slot} 0 8 1 1"):
        expect(writer.run(command)[0][1], f"{command} was not refused")
    expect_error(writer, "EINVAL", f"unregister {token}")
    expect_equal(owner.ask_all(f"peek {token} 0", f"signals {token}"), ["0", "0"],
                 "what the refused ones wrote")
    owner.ask(f"unregister {token}")


def slot_of(token: str) -> int:
    return int(token, 16) >> 16 & 0xffff


def index_of(token: str) -> int:
    return int(token, 16) & 0xffff


def lies(owner: dibs.Client, writer: dibs.Client, third: dibs.Client) -> None:
    """A member that points at a DMB which another one writes into, and one whose descriptor is of memory
    that is not leased to it, or of none: nobody is called for the former, nobody writes for the latter.
    """
    layout = shm.Layout(SIZE, SLOTS)
    token, other = owner.register(writer, 16 * KIB), owner.register(third, 16 * KIB)
    theirs = writer.register(third, 16 * KIB)
    slot = slot_of(third.register(owner, 16 * KIB))
    shm.run(third.guest, f"""
import struct
pair = {layout.pair(slot, slot_of(token))}
head = struct.unpack_from("I", m, pair)[0]
struct.pack_into("I", m, pair + 64 + head % {shm.RING} * 4, {index_of(token)})
struct.pack_into("I", m, pair, head + 1)
""")
    third.ask(f"move {other} 0 8 44 1")
    wait_answer(owner, f"signals {other}", "1", "signals of its own writer")
    expect_equal(owner.ask(f"signals {token}"), "0", "signals of somebody who is not its writer")

    desc, of_theirs = (layout.desc(slot_of(each), index_of(each)) for each in (token, theirs))
    for wrong, error in ((f"m[{of_theirs + 8}:{of_theirs + 16}]", "EACCES"),
                         (f"({SIZE}).to_bytes(8, 'little')", "EINVAL"),
                         (f"({layout.bulletin(1) // (16 * KIB) * 16 * KIB}).to_bytes(8, 'little')",
                          "EINVAL")):
        for command in (f"attach {token}", f"move {token} 0 8 55 1"):
            for _ in range(5):
                shm.run(owner.guest, f"m[{desc + 8}:{desc + 16}] = {wrong}")
                [(answer, got)] = writer.run(command)
                if got:
                    break
                # the owner puts its descriptor right each second: in between, this time
                if command.startswith("attach"):
                    writer.ask(f"detach {token}")
            expect_equal(got, error, f"{command} (answer {answer!r})")
    owner.ask_all(f"unregister {token}", f"unregister {other}")


@case("fabric", "dibs-client", agent=False, guests=3, slots=SLOTS, size=f"{SIZE >> 20}M", timeout=60)
def dibs_client(lab):
    """Register, attach, move, notify and their limits, asked of the driver directly; wrong
    tokens are refused; everything comes back when the client goes.
    """
    owner, writer, third = (dibs.Client(guest) for guest in lab.guests)
    for one in (owner, writer, third):
        wait_answer(one, f"query {owner.gid if one is not owner else third.gid}", "", "reachable")
    move_and_notify(owner, writer)
    limits(owner, writer)
    foreign_tokens(owner, writer, third)
    lies(owner, writer, third)
    writer.ask(f"event {owner.gid} 42 7")
    wait_answer(owner, "events", f"1 2 42 7 {writer.gid[:18]}-ffff-ffffffffffff", "the event")
    # The region is full at some time, and says so; the client's end gives all of it back.
    taken = 0
    while True:
        results = owner.run(*[f"register {writer.gid} {1024 * KIB}"] * 16)
        taken += sum(not error for _, error in results)
        errors = {error for _, error in results if error}
        if errors:
            break
        expect(taken < 64, "more was registered than the region has")
    expect_equal(errors, {"ENOSPC"}, "the error of a full region")
    expect(taken > 20, f"the region was full after {taken} MiB")
    owner.unload()
    expect_equal((owner.stat("dmbs"), owner.stat("dmb_bytes")), (0, 0),
                 "DMBs and bytes after the client")
    # The driver goes while the client has DMBs and attachments.
    token = writer.register(third, 64 * KIB)
    third.ask(f"attach {token}")
    lab.guests[2].check("rmmod ivpci")
    expect_error(third, "ENODEV", "device")
    lab.guests[1].check("rmmod ivpci")


ROUNDS = 4000


@case("fabric", "last-look", append=driver.UNAIDED, agent=False, timeout=90, long_timeout=300)
def last_look(lab):
    """A receiver that has looked for the last time, and takes its time until it says that it does not look
    any more: what arrives in between is not lost. Nothing else would wake it: there is one message
    under way at any time.
    """
    a, b = (dibs.Client(guest) for guest in lab.guests)
    for one, other in ((a, b), (b, a)):
        wait_answer(one, f"query {other.gid}", "", "reachable")
    # Long enough that a round trip on a busy machine falls into it: the threads look, and end.
    for guest in lab.guests:
        guest.check("echo 1000 >/sys/module/ivpci/parameters/poll_us")
    # The drivers' threads that look dawdle where they take a lock, as they do between the two.
    slow = [dawdle.start(guest, "--locks", f"{a.name}/") for guest in lab.guests]
    dawdle.wait(slow)
    there, back = a.register(b, 16 * KIB), b.register(a, 16 * KIB)
    b.ask(f"echo {back} {there}")
    rounds = ROUNDS * (10 if lab.long else 1)
    took = a.ask(f"ping {there} {back} {rounds}", timeout=250)
    for one, each in zip((a, b), slow):
        count = dawdle.finish(each)
        counted = {name: one.stat(name) for name in ("polls", "poll_hits", "interrupts")}
        lab.progress(f"{one.guest.name}: dawdled {count} times, {counted}")
        expect(count > rounds // 100, "hardly anybody dawdled")
    lab.progress(f"{rounds} round trips: min, p50, p99, max {took} ns")
    b.ask("echo off")
