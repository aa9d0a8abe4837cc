// The processes whose fences were imported here. When one of them ends its fences are looked at,
// even if their sockets say nothing: a child that was made by _Fork() or a bare clone() may have
// copies of the exporting ends.
//
// One pidfd for each such process, which the reactor watches; it is open as long as a fence of that
// process is pending here. Where the system gives no pidfd (before Linux 6.5, of a process without
// a number here), or there is no descriptor left, the sockets alone tell.
#pragma once

#include "ufence/io/reactor.h"

namespace ufence::detail {

class exporter;

/// The part of an imported fence that makes it one of its exporter's. All of it under the reactor's
/// lock.
struct exporter_link {
  exporter* of = nullptr;  // null: nobody tells
  exporter_link* previous = nullptr;
  exporter_link* next = nullptr;
  watched* import = nullptr;
  bool has_ended = false;  // the exporter: its fences are to be looked at
};

/// From now on the end of the process that made a sync file makes what is imported doubtful.
void join_exporter(exporter_link& link, watched& import, int file) noexcept
    UFENCE_REQUIRES(the_reactor.lock);
/// Nobody is told any more.
void leave_exporter(exporter_link& link) noexcept UFENCE_REQUIRES(the_reactor.lock);

}  // namespace ufence::detail
