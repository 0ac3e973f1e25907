// The change feed's worker side: reads the WAL as it is written and hands out the mirror changes of transactions that
// are committed and visible, in commit order; a commit that is not visible yet (it waits for a synchronous standby)
// holds up no other. Runs in the mirror worker, outside transactions but for catch_up().
//
// No replication slot: the tail never holds WAL back. When it falls so far behind that the WAL is gone, or when it
// cannot know what a transaction changed, it asks for a compare of tables instead.
#pragma once

#include "capture/message.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace dbnet::bgworker {

using WalPosition = std::uint64_t; // XLogRecPtr

struct Commit {
    std::uint64_t xid = 0;  // full transaction id of the top-level transaction
    WalPosition lsn = 0;    // end of the commit record
    std::int64_t at = 0;    // TimestampTz of the commit
    std::uint32_t role = 0; // who made the first change
    std::vector<capture::Change> changes;
};

class WalTail {
public:
    // `memory_limit` bounds, in bytes, what is kept of transactions that have not been handed out yet; beyond it the
    // largest ones shrink to one 'C' per relation.
    explicit WalTail(const capture::Cookie &cookie, std::size_t memory_limit = 64 * 1024 * 1024);
    ~WalTail();
    WalTail(const WalTail &) = delete;
    WalTail &operator=(const WalTail &) = delete;

    // Begins at the flush position of now. A compare whose snapshot is taken after start() returned, together with
    // what poll() says from then on, misses nothing.
    void start();

    // Begins at `from`, which may lie anywhere in a record. `running`: 32-bit ids of the transactions that were in
    // progress at some time after `from` was noted and before the compare's snapshot; their messages may lie before
    // `from`, so each that commits asks for a compare.
    void start(WalPosition from, std::vector<std::uint32_t> running);

    struct Progress {
        bool compare_due =
            false;         // something may have been missed: compare all mirrors, with a snapshot taken from now on
        bool more = false; // there is more to do at once: serve other things, then poll again
    };

    // Reads on, a few thousand records at most, and appends visible commits to `out` until it holds `limit`.
    // `published`: the newest commit that a backend announced; under synchronous_commit = off it is flushed first.
    // To be called at least once a second even when nothing is announced, to pass over others' WAL before it is
    // recycled and to see commits become visible. Throws pg_error (cancel, shutdown, I/O); lost WAL is not an error.
    Progress poll(std::vector<Commit> &out, std::size_t limit, WalPosition published);

    // Inside a transaction: reads on to where its active snapshot was taken, and appends the commits that it has seen
    // and no others. `more`: not all of them, for the first that is left has changed the configuration.
    Progress catch_up(std::vector<Commit> &out);

    // Every commit whose record ends here or before has been handed out.
    WalPosition position() const;

    // How often WAL was gone before it was read.
    std::uint64_t lost() const;

private:
    class State;
    std::unique_ptr<State> state_;
};

} // namespace dbnet::bgworker
