// Import: objects that the mirror has never seen, whose rows are not there either. Record and row of a whole batch are
// written by two statements in one transaction. It is only the short way for the plain case: whatever is not plain goes
// the long way (report_record.hpp, then report_rows.hpp), where nothing a user defined can stop it. Runs in the mirror
// worker, inside a transaction that has a lock_timeout.
#pragma once

#include "bgworker/watch/watcher_queue.hpp"
#include "mirror/store/catalog.hpp"

#include <span>
#include <stdexcept>

namespace dbnet::bgworker {

// Something in the batch is not plain: nothing of it may be committed.
class NotPlain : public std::runtime_error {
public:
    NotPlain() : std::runtime_error("the batch cannot be imported at once") {}
};

// All events are of `mirror` and have different keys. Throws NotPlain, pg_error, mirror::ConfigurationChanged.
void import_objects(const mirror::Mirror &mirror, std::span<const QueuedEvent> events);

} // namespace dbnet::bgworker
