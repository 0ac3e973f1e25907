// Physical WAL reading for the change feed (see wal_reader.hpp). Runs in the mirror worker.
#include "bgworker/change_feed/wal_reader.hpp"

#include "capture/message.hpp"
#include "pg/guard.hpp"

#include <new>

extern "C" {
#include "access/rmgr.h"
#include "access/xact.h"
}

namespace dbnet::bgworker {
namespace {

// A single huge record makes the reader's buffers as huge; beyond this, in bytes, they are given back.
constexpr size_t memory_kept = 4 * 1024 * 1024;

// A segment that was removed is a missing file, one that was being recycled may be read short.
bool means_gone(const pg::pg_error &error) {
    return error.sqlstate() == ERRCODE_UNDEFINED_FILE || error.sqlstate() == ERRCODE_DATA_CORRUPTED;
}

} // namespace

WalReader::~WalReader() {
    close();
}

void WalReader::seek(XLogRecPtr position) {
    close();
    position_ = position;
    flushed_ = InvalidXLogRecPtr;
    at_record_ = false;
}

WalReader::Record WalReader::next(int &allowance, bool with_ends) {
    try {
        const Record record = pg::call([&] { return read(allowance, with_ends); });
        if (record.kind == Kind::nothing && MemoryContextMemAllocated(context_, true) > memory_kept)
            close();
        return record;
    } catch (const pg::pg_error &error) {
        close(); // it was left in the middle of something
        if (!means_gone(error))
            throw;
    } catch (...) {
        close();
        throw;
    }
    Record record;
    record.kind = Kind::gone;
    return record;
}

// From here on: inside pg::call, nothing with a destructor.

void WalReader::open() {
    static XLogReaderRoutine routine = pg::compat::local_wal_reader();
    context_ = AllocSetContextCreateInternal(TopMemoryContext, "DBNet WAL reader", ALLOCSET_DEFAULT_SIZES);
    MemoryContextSwitchTo(context_);
    page_ = static_cast<ReadLocalXLogPageNoWaitPrivate *>(palloc0(sizeof *page_));
    reader_ = XLogReaderAllocate(wal_segment_size, nullptr, &routine, page_);
    if (reader_ == nullptr)
        throw std::bad_alloc();
    if (at_record_)
        XLogBeginRead(reader_, position_);
}

void WalReader::close() noexcept {
    if (context_ == nullptr)
        return;
    pg::call_noexcept([this] {
        if (reader_ != nullptr)
            XLogReaderFree(reader_); // closes the segment's file
        MemoryContextDelete(context_);
    });
    context_ = nullptr;
    reader_ = nullptr;
}

// Decoding can begin at the first record of a page. In the zeros that follow a WAL switch no page has one; there it
// begins at the segment's first record and runs into the switch.
void WalReader::find_first_record() {
    page_->end_of_wal = false;
    XLogRecPtr found = XLogFindNextRecord(reader_, position_ - position_ % XLOG_BLCKSZ);
    if (found == InvalidXLogRecPtr && !page_->end_of_wal)
        found = XLogFindNextRecord(reader_, position_ - position_ % wal_segment_size);
    if (found == InvalidXLogRecPtr)
        return;
    position_ = found;
    at_record_ = true;
}

WalReader::Record WalReader::read(int &allowance, bool with_ends) {
    Record record;
    const MemoryContext caller = CurrentMemoryContext;
    if (reader_ == nullptr)
        open();
    MemoryContextSwitchTo(context_);
    while (allowance > 0) {
        if (position_ >= flushed_ && position_ >= (flushed_ = GetFlushRecPtr(nullptr)))
            break;
        if (!at_record_)
            find_first_record();
        char *error = nullptr;
        const bool found = at_record_ && (page_->end_of_wal = false, XLogReadRecord(reader_, &error) != nullptr);
        if (!found) {
            // The flushed WAL may end inside a record: the reader stands at its start and tries again later.
            if (error != nullptr || !page_->end_of_wal)
                record.kind = Kind::gone;
            else if (at_record_)
                XLogBeginRead(reader_, position_);
            flushed_ = position_;
            break;
        }
        --allowance;
        position_ = reader_->EndRecPtr;
        if (describe(record, with_ends))
            break;
    }
    MemoryContextSwitchTo(caller);
    return record;
}

bool WalReader::describe(Record &record, bool with_ends) const {
    record.begin = reader_->ReadRecPtr;
    record.end = reader_->EndRecPtr;
    record.xid = XLogRecGetXid(reader_);
    switch (XLogRecGetRmid(reader_)) {
    case RM_LOGICALMSG_ID:
        return describe_message(record);
    case RM_XACT_ID:
        return with_ends && describe_end(record);
    default:
        return false;
    }
}

bool WalReader::describe_message(Record &record) const {
    const auto *message = reinterpret_cast<const xl_logical_message *>(XLogRecGetData(reader_));
    const size_t size = XLogRecGetDataLen(reader_);
    if (size < SizeOfLogicalMessage || !message->transactional || message->dbId != MyDatabaseId ||
        message->prefix_size != sizeof capture::message_prefix || size - SizeOfLogicalMessage < message->prefix_size ||
        std::memcmp(message->message, capture::message_prefix, sizeof capture::message_prefix) != 0)
        return false;
    record.kind = Kind::message;
    record.bytes = message->message + message->prefix_size;
    record.size = size - SizeOfLogicalMessage - message->prefix_size;
    return true;
}

// The header of a prepared transaction's end carries no xid.
bool WalReader::describe_end(Record &record) const {
    switch (XLogRecGetInfo(reader_) & XLOG_XACT_OPMASK) {
    case XLOG_XACT_COMMIT:
    case XLOG_XACT_COMMIT_PREPARED: {
        xl_xact_parsed_commit commit;
        ParseCommitRecord(XLogRecGetInfo(reader_), reinterpret_cast<xl_xact_commit *>(XLogRecGetData(reader_)),
                          &commit);
        record.kind = Kind::commit;
        record.at = commit.xact_time;
        record.subtransactions = commit.subxacts;
        record.subtransaction_count = commit.nsubxacts;
        if (TransactionIdIsValid(commit.twophase_xid))
            record.xid = commit.twophase_xid;
        return true;
    }
    case XLOG_XACT_ABORT:
    case XLOG_XACT_ABORT_PREPARED: {
        xl_xact_parsed_abort abort;
        ParseAbortRecord(XLogRecGetInfo(reader_), reinterpret_cast<xl_xact_abort *>(XLogRecGetData(reader_)), &abort);
        record.kind = Kind::abort;
        record.subtransactions = abort.subxacts;
        record.subtransaction_count = abort.nsubxacts;
        if (TransactionIdIsValid(abort.twophase_xid))
            record.xid = abort.twophase_xid;
        return true;
    }
    default:
        return false;
    }
}

} // namespace dbnet::bgworker
