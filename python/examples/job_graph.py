"""A graph of jobs over a driver that is reloaded between them: job_graph.py DRIVER"""
import ctypes
import sys

import ufence


class Args(ctypes.Structure):
    _fields_ = [("a", ctypes.c_int64), ("b", ctypes.c_int64), ("sum", ctypes.POINTER(ctypes.c_int64))]


host, fences = ufence.Host(), []
numbers = [ctypes.c_int64(n) for n in range(1, 9)]
while len(numbers) > 1:
    adder = host.load(sys.argv[1])
    sums = [ctypes.c_int64() for _ in numbers[::2]]
    level = [adder.submit(0, Args(a.value, b.value, ctypes.pointer(s)), in_fences=fences[-1:])
             for a, b, s in zip(numbers[::2], numbers[1::2], sums)]
    fences.append(ufence.all_of(level))
    fences[-1].wait(timeout=10)
    print(host.unload(adder).state.name, [s.value for s in sums])
    numbers = sums
print(numbers[0].value, [f.status for f in fences])
