// Puts messages and commits of the WAL together (see wal_tail.hpp). Runs in the mirror worker.
#include "bgworker/change_feed/wal_tail.hpp"

#include "bgworker/change_feed/wal_reader.hpp"
#include "pg/guard.hpp"

#include <algorithm>
#include <deque>
#include <unordered_map>

extern "C" {
#include "access/transam.h"
#include "access/twophase.h"
#include "access/xlog_internal.h"
#include "storage/procarray.h"
#include "storage/standby.h"
#include "utils/snapmgr.h"
}

namespace dbnet::bgworker {
namespace {

// WAL records read in one poll().
constexpr int records_per_poll = 8192;

// Top-level transactions in progress now, prepared ones included.
std::vector<TransactionId> transactions_in_progress() {
    std::vector<TransactionId> xids;
    xids.resize(static_cast<size_t>(MaxBackends + max_prepared_xacts) + NUM_AUXILIARY_PROCS);
    xids.resize(pg::call([&] {
        const RunningTransactions running = GetRunningTransactionData();
        const size_t count = std::min(xids.size(), static_cast<size_t>(running->xcnt));
        std::copy_n(running->xids, count, xids.data());
        LWLockRelease(ProcArrayLock);
        LWLockRelease(XidGenLock);
        return count;
    }));
    return xids;
}

// The 64-bit id of a transaction that ended recently.
uint64 full_xid(TransactionId xid) {
    const FullTransactionId next = pg::call([] { return ReadNextFullTransactionId(); });
    const uint64 epoch = EpochFromFullTransactionId(next);
    return (xid > XidFromFullTransactionId(next) ? epoch - 1 : epoch) << 32 | xid;
}

// Where the WAL ends that has been written down, flushed or not. PostgreSQL tells where the next record goes: behind
// the header of a page that is to come.
XLogRecPtr end_of_wal() {
    const XLogRecPtr next = GetXLogInsertRecPtr();
    if (next % wal_segment_size == SizeOfXLogLongPHD)
        return next - SizeOfXLogLongPHD;
    return next % XLOG_BLCKSZ == SizeOfXLogShortPHD ? next - SizeOfXLogShortPHD : next;
}

bool is_configuration(const Commit &commit) {
    return std::ranges::any_of(commit.changes, [](const capture::Change &change) { return change.operation == 'S'; });
}

size_t memory_of(const std::vector<capture::Change> &changes) {
    size_t bytes = 0;
    for (const capture::Change &change : changes)
        bytes += sizeof change + change.name_space.size() + change.name.size();
    return bytes;
}

} // namespace

class WalTail::State {
public:
    State(const capture::Cookie &cookie, size_t memory_limit) : cookie_(cookie), memory_limit_(memory_limit) {}

    void start(XLogRecPtr from, std::vector<TransactionId> running);
    bool settle_running();
    bool read(XLogRecPtr published);
    void read_to_end();
    bool hand_out(std::vector<Commit> &out, size_t limit, Snapshot snapshot);
    void begin_anew();

    XLogRecPtr position() const { return ended_.empty() ? std::max(from_, reader_.position()) : ended_.front().begin; }
    uint64 lost() const { return lost_; }

private:
    struct Open { // messages of a transaction or subtransaction that has not ended
        Oid role = InvalidOid;
        std::vector<capture::Change> changes;
        size_t bytes = 0;
    };
    struct Ended { // a commit that has not been handed out
        TransactionId xid = InvalidTransactionId;
        XLogRecPtr begin = InvalidXLogRecPtr; // start of the commit record
        size_t bytes = 0;
        Commit commit;
    };

    void keep_message(const WalReader::Record &record);
    void keep_commit(const WalReader::Record &record);
    void forget(const WalReader::Record &record);
    void take(TransactionId xid, Commit &commit);
    void shrink_largest();

    const capture::Cookie cookie_;
    const size_t memory_limit_;
    WalReader reader_;
    XLogRecPtr from_ = InvalidXLogRecPtr; // messages that begin before count as not seen
    std::vector<TransactionId> running_;  // theirs may lie there
    std::unordered_map<TransactionId, Open> open_;
    std::deque<Ended> ended_; // in commit order
    size_t bytes_ = 0;        // of open_ and ended_
    uint64 lost_ = 0;
};

void WalTail::State::start(XLogRecPtr from, std::vector<TransactionId> running) {
    from_ = from;
    reader_.seek(from);
    running_ = std::move(running);
    open_.clear();
    ended_.clear();
    bytes_ = 0;
}

// Forgets those that ended; true when one of them committed. A forgotten prepared transaction just stays in the list.
bool WalTail::State::settle_running() {
    bool committed = false;
    if (!running_.empty())
        pg::call([&] {
            for (TransactionId &xid : running_)
                if (!TransactionIdIsInProgress(xid)) {
                    committed |= TransactionIdDidCommit(xid);
                    xid = InvalidTransactionId;
                }
        });
    std::erase(running_, InvalidTransactionId);
    return committed;
}

// True when there is more to read at once.
bool WalTail::State::read(XLogRecPtr published) {
    pg::call([&] {
        CHECK_FOR_INTERRUPTS();
        // An asynchronous commit would otherwise wait for the WAL writer's next round.
        if (published > GetFlushRecPtr(nullptr))
            XLogFlush(published);
    });
    int allowance = records_per_poll;
    for (;;) {
        const WalReader::Record record = reader_.next(allowance, !open_.empty());
        switch (record.kind) {
        case WalReader::Kind::message:
            keep_message(record);
            break;
        case WalReader::Kind::commit:
            keep_commit(record);
            break;
        case WalReader::Kind::abort:
            forget(record);
            break;
        case WalReader::Kind::nothing:
            return !reader_.at_end();
        case WalReader::Kind::gone:
            begin_anew();
            return false; // the compare comes first
        }
    }
}

// A commit record is written before any snapshot sees the transaction: all that the active one has seen lies before.
void WalTail::State::read_to_end() {
    const XLogRecPtr end = end_of_wal();
    while (reader_.position() < end && read(end)) {
    }
}

// Moves what is visible, in commit order; true when more of it is left than `limit` lets through. A commit record can
// be read before its transaction is visible to others: while it waits for a synchronous standby, for one. What commits
// behind it and is visible goes first: it cannot have seen the other's changes. `snapshot`, if any: visible is what it
// has seen, up to the first change of the configuration.
bool WalTail::State::hand_out(std::vector<Commit> &out, size_t limit, Snapshot snapshot) {
    if (ended_.empty())
        return false;
    std::vector<char> is_visible(ended_.size());
    pg::call([&] {
        for (size_t index = 0; index < is_visible.size(); ++index)
            is_visible[index] = snapshot ? !XidInMVCCSnapshot(ended_[index].xid, snapshot)
                                         : !TransactionIdIsInProgress(ended_[index].xid);
    });
    std::deque<Ended> left;
    bool more = false;
    for (size_t index = 0; index < is_visible.size(); ++index) {
        Ended &ended = ended_[index];
        if (is_visible[index] && snapshot && is_configuration(ended.commit))
            limit = 0;
        if (is_visible[index] && out.size() < limit) {
            bytes_ -= ended.bytes;
            out.push_back(std::move(ended.commit));
        } else {
            more |= is_visible[index];
            left.push_back(std::move(ended));
        }
    }
    ended_ = std::move(left);
    return more;
}

// The WAL at our position is gone: what it said of transactions is unknown, so go on from the end, as at the start.
// Commits that were read but are not visible yet are kept.
void WalTail::State::begin_anew() {
    ++lost_;
    for (const auto &[xid, open] : open_)
        bytes_ -= open.bytes;
    open_.clear();
    from_ = pg::call([] { return GetFlushRecPtr(nullptr); });
    reader_.seek(from_);
    running_ = transactions_in_progress();
}

void WalTail::State::keep_message(const WalReader::Record &record) {
    if (record.begin < from_)
        return; // reading began at a page's first record
    auto message = capture::decode({record.bytes, record.size}, cookie_);
    if (!message)
        return; // anybody may write messages
    Open &open = open_[record.xid];
    if (open.changes.empty())
        open.role = message->role;
    for (capture::Change &change : message->changes)
        change.role = message->role;
    const size_t bytes = memory_of(message->changes);
    open.changes.insert(open.changes.end(), std::make_move_iterator(message->changes.begin()),
                        std::make_move_iterator(message->changes.end()));
    open.bytes += bytes;
    bytes_ += bytes;
    if (bytes_ > memory_limit_)
        shrink_largest();
}

void WalTail::State::keep_commit(const WalReader::Record &record) {
    Ended ended;
    ended.xid = record.xid;
    ended.begin = record.begin;
    take(record.xid, ended.commit);
    // Captures of a subtransaction that ran inside another extension's PRE_COMMIT callback.
    for (int index = 0; index < record.subtransaction_count; ++index)
        take(record.subtransactions[index], ended.commit);
    ended.bytes = memory_of(ended.commit.changes);
    if (ended.commit.changes.empty())
        return;
    ended.commit.xid = full_xid(record.xid);
    ended.commit.lsn = record.end;
    ended.commit.at = record.at;
    ended_.push_back(std::move(ended));
}

void WalTail::State::take(TransactionId xid, Commit &commit) {
    const auto found = open_.find(xid);
    if (found == open_.end())
        return;
    Open &open = found->second;
    if (commit.changes.empty()) {
        commit.role = open.role;
        commit.changes = std::move(open.changes);
    } else {
        commit.changes.insert(commit.changes.end(), std::make_move_iterator(open.changes.begin()),
                              std::make_move_iterator(open.changes.end()));
    }
    open_.erase(found);
}

void WalTail::State::forget(const WalReader::Record &record) {
    Commit aborted;
    take(record.xid, aborted);
    for (int index = 0; index < record.subtransaction_count; ++index)
        take(record.subtransactions[index], aborted);
    bytes_ -= memory_of(aborted.changes);
}

// The largest, not the newest: one big prepared transaction must not turn every later commit into a compare.
void WalTail::State::shrink_largest() {
    std::vector<capture::Change> *changes = nullptr;
    size_t *bytes = nullptr;
    for (auto &[xid, open] : open_)
        if (bytes == nullptr || open.bytes > *bytes)
            changes = &open.changes, bytes = &open.bytes;
    for (Ended &ended : ended_)
        if (bytes == nullptr || ended.bytes > *bytes)
            changes = &ended.commit.changes, bytes = &ended.bytes;
    *changes = capture::shrunk(*changes);
    bytes_ -= *bytes;
    *bytes = memory_of(*changes);
    bytes_ += *bytes;
}

WalTail::WalTail(const capture::Cookie &cookie, std::size_t memory_limit)
    : state_(std::make_unique<State>(cookie, memory_limit)) {}
WalTail::~WalTail() = default;

void WalTail::start() {
    const XLogRecPtr from = pg::call([] { return GetFlushRecPtr(nullptr); });
    state_->start(from, transactions_in_progress()); // in this order
}

void WalTail::start(WalPosition from, std::vector<std::uint32_t> running) {
    state_->start(from, std::move(running));
}

WalTail::Progress WalTail::poll(std::vector<Commit> &out, std::size_t limit, WalPosition published) {
    Progress progress;
    const std::uint64_t lost_before = state_->lost();
    progress.more = state_->hand_out(out, limit, nullptr);
    if (!progress.more) {
        progress.more = state_->read(published);
        progress.more |= state_->hand_out(out, limit, nullptr);
    }
    progress.compare_due = state_->settle_running() || state_->lost() != lost_before;
    return progress;
}

WalTail::Progress WalTail::catch_up(std::vector<Commit> &out) {
    Progress progress;
    const std::uint64_t lost_before = state_->lost();
    state_->read_to_end();
    progress.more = state_->hand_out(out, SIZE_MAX, pg::call([] { return GetActiveSnapshot(); }));
    progress.compare_due = state_->settle_running() || state_->lost() != lost_before;
    return progress;
}

WalPosition WalTail::position() const {
    return state_->position();
}

std::uint64_t WalTail::lost() const {
    return state_->lost();
}

} // namespace dbnet::bgworker
