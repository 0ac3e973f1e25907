// The change feed's worker side: reads the WAL as it is written and hands out the mirror changes of committed, visible
// transactions in commit order. Runs in the mirror worker, always outside a transaction.
//
// No replication slot: the tail never holds WAL back. When it falls so far behind that the WAL is gone, or when it
// cannot know what a transaction changed, it asks for a compare of tables instead.
#pragma once

#include "capture/message.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <unordered_map>
#include <vector>

namespace dbnet::bgworker {

using WalPosition = std::uint64_t; // XLogRecPtr

struct Commit {
    std::uint64_t xid = 0;  // full transaction id of the top-level transaction
    WalPosition lsn = 0;    // end of the commit record
    std::int64_t at = 0;    // TimestampTz of the commit
    std::uint32_t role = 0; // who
    std::uint64_t provenance = 0;
    std::vector<capture::Change> changes; // in the order of their first occurrence
};

class WalTail {
public:
    // `memory_limit` bounds, in bytes, what is kept of transactions that have not been handed out yet; beyond it a
    // transaction's changes shrink to one 'C' per relation.
    explicit WalTail(std::size_t memory_limit = 64 * 1024 * 1024);
    ~WalTail();
    WalTail(const WalTail &) = delete;
    WalTail &operator=(const WalTail &) = delete;

    // Begins at the flush position of now. A compare whose snapshot is taken after start() returned, together with
    // what poll() hands out from then on, misses nothing.
    void start();

    // Begins at `from`, which may lie anywhere in a record. `running`: 32-bit ids of the transactions that a snapshot
    // taken after `from` was noted sees in progress; their messages may lie before `from`, so each that commits asks
    // for a compare.
    void start(WalPosition from, std::vector<std::uint32_t> running);

    struct Progress {
        bool compare_due =
            false;         // changes may have been missed: compare all mirrors, with a snapshot taken from now on
        bool more = false; // there is more to read at once; serve other things, then poll again
    };

    // Reads on, at most a few thousand records and until `out` holds `limit` commits or more has to be awaited.
    // `published`: newest commit that a backend announced; under synchronous_commit = off it is flushed first.
    // Must be called at least once a second also when nothing is announced, to pass over others' WAL before it is
    // recycled. Throws pg_error (query cancel, shutdown); a missing WAL segment is no error but a compare.
    Progress poll(std::vector<Commit> &out, std::size_t limit, WalPosition published);

    // Every commit whose record ends here or before has been handed out.
    WalPosition position() const;

    // How often WAL was gone before it was read, since the process started.
    std::uint64_t lost() const { return lost_; }

private:
    struct Reader;
    struct Open { // messages of a transaction (or subtransaction) that has not ended
        std::uint32_t role = 0;
        std::uint64_t provenance = 0;
        std::vector<capture::Change> changes;
        std::size_t bytes = 0;
    };
    struct Ended { // a commit that may not be visible yet
        std::uint32_t xid;
        WalPosition begin; // start of the commit record
        std::size_t bytes;
        Commit commit;
    };

    std::size_t memory_limit_;
    std::size_t bytes_ = 0; // of open_ and ended_
    std::unique_ptr<Reader> reader_;
    WalPosition from_ = 0; // commits that end here or before are not ours to hand out
    std::vector<std::uint32_t> running_;
    std::unordered_map<std::uint32_t, Open> open_;
    std::deque<Ended> ended_;
    std::uint64_t lost_ = 0;
};

} // namespace dbnet::bgworker
