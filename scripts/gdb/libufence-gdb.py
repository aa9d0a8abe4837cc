"""What gdb knows of ufence: loaded by itself with libufence.so, in a process and in a core file.

    info ufence            the timelines that live, with the fences that are awaited there
    print *fence           a fence, a reference to one, a timeline, a chain: in words

It reads types, so it needs debug information: the package libufence0-dbgsym, or a build of one's own.
"""

import gdb

LIVE = "'ufence::detail::(anonymous namespace)::live_timelines'"

# Of ufence/fence/state.h, and ufence::fence::kind (fence.h). A test compares them.
SIGNALED, SETTLED = 1 << 2, 1 << 5
KINDS = ((16, "container or import"), (4, "legacy fence"), (2, "timeline fence"))


def plain(value):
    """What is in an atomic<T> or a cell<T>."""
    inner = value["value_"]
    if inner.type.strip_typedefs().code != gdb.TYPE_CODE_STRUCT:
        return inner
    names = [field.name for field in inner.type.strip_typedefs().fields()]
    if "_M_b" in names:  # std::atomic<T*>
        return inner["_M_b"]["_M_p"]
    if names and inner.type.strip_typedefs().fields()[0].is_base_class:  # std::atomic<int>
        inner = inner.cast(inner.type.strip_typedefs().fields()[0].type)
        names = [field.name for field in inner.type.strip_typedefs().fields()]
    return inner["_M_i"]


def number(value):
    return int(plain(value))


def text(view):
    size = int(view["_M_len"])
    return view["_M_str"].string(errors="replace", length=size) if size else ""


class Fence:
    """A value of the type ufence::fence."""

    def __init__(self, value):
        self._value = value
        self._kind = int(value["kind_"])

    def line(self):
        """The timeline, or None."""
        return self._value["owner_"]["owner"].dereference() if self._kind & 1 else None

    def name(self):
        seqno, line = int(self._value["seqno_"]), self.line()
        if line is None:
            return f"{int(self._value['owner_']['context'])}:{seqno}"
        if self._kind & (2 | 128):
            return f"{int(line['context_'])}:{seqno}"
        return f"{int(line['unordered_contexts_']) | (seqno & 0xffffffff)}:{seqno}"

    def result(self):
        state, line = number(self._value["state_"]), self.line()
        if state & SIGNALED:
            error = number(self._value["error_"])
            settled = "settled" if state & SETTLED else "not settled"
            return f"signaled, {settled}" + (f", error {error}" if error else "")
        if self._kind & 2 and line is not None:
            value = number(line["value_"]) & ~(1 << 63)
            if int(self._value["seqno_"]) <= value:
                return "complete, nobody has looked"
        return "pending"

    def __str__(self):
        kind = next((word for flag, word in KINDS if self._kind & flag), "fence")
        line, where = self.line(), ""
        if line is not None:
            where = f' of "{text(line["timeline_name_"])}" of "{text(line["driver_name_"])}"'
        return f"{kind} {self.name()}{where}, {self.result()}, {number(self._value['refs_'])} references"


def timeline_text(line):
    value = number(line["value_"])
    closed = ", closed" if value >> 63 else ""
    return (f'timeline {int(line["context_"])} "{text(line["timeline_name_"])}" of '
            f'"{text(line["driver_name_"])}": value {value & ~(1 << 63)}, newest {number(line["emitted_"])}{closed}')


class FencePrinter:
    def __init__(self, value):
        self._value = value

    def to_string(self):
        return str(Fence(self._value))


class RefPrinter:
    """ref<fence> and ref<timeline>."""

    def __init__(self, value):
        self._value = value

    def to_string(self):
        field = self._value.type.strip_typedefs().fields()[0]
        pointer = self._value[field]
        if int(pointer) == 0:
            return "none"
        target = pointer.dereference()
        if target.type.strip_typedefs().name == "ufence::timeline":
            return timeline_text(target)
        return str(Fence(target))


class TimelinePrinter:
    def __init__(self, value):
        self._value = value

    def to_string(self):
        return timeline_text(self._value)


class ChainPrinter:
    """A node, and the ones before it."""

    def __init__(self, value):
        self._value = value

    def to_string(self):
        base = gdb.lookup_type("ufence::fence")
        return "chain: " + str(Fence(self._value.cast(base)))

    def children(self):
        base, own = gdb.lookup_type("ufence::fence"), self._value.type
        node = self._value
        for _ in range(200):
            contained = plain(node["contained_"])
            if int(contained):
                yield "contains", str(Fence(contained.dereference()))
            before = plain(node["previous_"])
            if not int(before):
                return
            f = before.dereference()
            if not int(f["kind_"]) & 16:
                yield "before", str(Fence(f))
                return
            yield "before", str(Fence(f))
            node = before.cast(base.pointer()).cast(own.pointer()).dereference()


PRINTERS = {
    "ufence::fence": FencePrinter,
    "ufence::timeline": TimelinePrinter,
    "ufence::ref<ufence::fence>": RefPrinter,
    "ufence::ref<ufence::timeline>": RefPrinter,
    "ufence::fence_chain": ChainPrinter,
}


def printer_for(value):
    made = PRINTERS.get(value.type.strip_typedefs().unqualified().name)
    return made(value) if made else None


class InfoUfence(gdb.Command):
    """The timelines of libufence that live, with the fences that somebody waits for there."""

    def __init__(self):
        super().__init__("info ufence", gdb.COMMAND_STATUS)

    def invoke(self, _argument, _from_tty):
        try:
            place = gdb.parse_and_eval(f"(unsigned long)&{LIVE}")
            line = place.cast(gdb.lookup_type("ufence::timeline").pointer().pointer()).dereference()
        except gdb.error as error:
            raise gdb.GdbError(f"no debug information of libufence.so: {error}") from error
        if not int(line):
            print("no timeline lives")
        while int(line):
            one = line.dereference()
            print(timeline_text(one))
            awaited = one["first_"]
            for _ in range(1000):
                if not int(awaited):
                    break
                print("  awaited: " + str(Fence(awaited.dereference())))
                awaited = plain(awaited["link_"])
            line = one["next_live_"]


InfoUfence()
gdb.pretty_printers.append(printer_for)
