"""Reads traces of Perfetto: the messages that ufence writes, by their field numbers, and what they mean."""

import collections
import struct

BEGIN, END, INSTANT = 1, 2, 3


def fields_of(data):
    """Yields (number, value) of a message: integers, or bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(data, at)
        elif kind == 1:
            value, at = struct.unpack_from("<Q", data, at)[0], at + 8
        elif kind == 2:
            size, at = _varint(data, at)
            value, at = data[at:at + size], at + size
            if len(value) != size:
                raise ValueError("a message is cut off")
        else:
            raise ValueError(f"wire type {kind}")
        yield number, value


def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def _signed(value):
    return value - (1 << 64) if value >> 63 else value


class Track:
    def __init__(self, message):
        self.uuid = self.parent = 0
        self.name = ""
        self.pid = self.tid = None
        self.merging = 0
        for number, value in fields_of(message):
            if number == 1:
                self.uuid = value
            elif number == 2:
                self.name = value.decode()
            elif number == 3:
                parts = dict(fields_of(value))
                self.pid, self.name = parts[1], parts[6].decode(errors="replace")
            elif number == 4:
                parts = dict(fields_of(value))
                self.pid, self.tid, self.name = parts[1], parts[2], parts[5].decode(errors="replace")
            elif number == 5:
                self.parent = value
            elif number == 15:
                self.merging = value


class Event:
    def __init__(self, time, message, names):
        self.time, self.type, self.track, self.name = time, None, 0, ""
        self.keys, self.begins, self.ends = {}, [], []
        for number, value in fields_of(message):
            if number == 9:
                self.type = value
            elif number == 11:
                self.track = value
            elif number == 10:
                self.name = names[2][value]
            elif number == 47:
                self.begins.append(value)
            elif number == 48:
                self.ends.append(value)
            elif number == 4:
                self._add_key(value, names)

    def _add_key(self, message, names):
        name, content = None, None
        for number, value in fields_of(message):
            if number == 1:
                name = names[3][value]
            elif number == 3:
                content = value
            elif number == 4:
                content = _signed(value)
            elif number == 6:
                content = value.decode(errors="replace")
        self.keys[name] = content


Slice = collections.namedtuple("Slice", "track name begin end keys begins")


class Trace:
    """tracks by uuid, events in the order of the file, slices; and what a flow leads from and to."""

    def __init__(self, data):
        self.tracks, self.events, self.clocks = {}, [], {}
        names = collections.defaultdict(dict)
        for number, packet in fields_of(data):
            if number != 1:
                raise ValueError("something else than a packet")
            self._read(list(fields_of(packet)), names)
        self._pair()

    def _read(self, packet, names):
        values = dict(packet)
        if 12 in values:
            for kind, entry in fields_of(values[12]):
                parts = dict(fields_of(entry))
                names[kind][parts[1]] = parts[2].decode(errors="replace")
        if 6 in values:
            for kind, entry in fields_of(values[6]):
                if kind == 1:
                    parts = dict(fields_of(entry))
                    self.clocks[parts[1]] = parts[2]
        if 60 in values:
            track = Track(values[60])
            if track.uuid in self.tracks:
                raise ValueError("a track is described twice")
            self.tracks[track.uuid] = track
        if 11 in values:
            if values[58] != 3 or values[13] != 2 or values[10] != 1:
                raise ValueError("a packet without its clock or its sequence")
            self.events.append(Event(values[8], values[11], names))

    def _pair(self):
        self.slices, self.flows_from, self.flows_to = [], {}, {}
        open_slices = collections.defaultdict(list)
        last = 0
        for event in self.events:
            if event.time < last:
                raise ValueError("the events are not in the order of time")
            last = event.time
            if event.track not in self.tracks:
                raise ValueError("an event has no track")
            for flow in event.begins:
                self._once(self.flows_from, flow, event)
            for flow in event.ends:
                self._once(self.flows_to, flow, event)
            if event.type == BEGIN:
                open_slices[event.track].append(event)
            elif event.type == END:
                begin = open_slices[event.track].pop()
                self.slices.append(Slice(event.track, begin.name, begin.time, event.time, begin.keys,
                                         begin.begins))
        self.open = [event for rest in open_slices.values() for event in rest]

    @staticmethod
    def _once(where, flow, event):
        if flow in where:
            raise ValueError("a flow has two ends of one kind")
        where[flow] = event

    def named(self, name):
        return [event for event in self.events if event.name == name]

    def row_of(self, track):
        """The track of the timeline in a lane of which an event lies."""
        return self.tracks[self.tracks[track].parent]
