// Reads the WAL record by record from any position and picks out what the change feed needs: DBNet's own messages of
// this database, and the ends of transactions. Everything else is passed over undecoded. Runs in the mirror worker.
#pragma once

#include "pg/compat.hpp"

namespace dbnet::bgworker {

class WalReader {
public:
    enum class Kind {
        message, // a transactional message with our prefix; its content is not yet checked
        commit,  // a commit, of a prepared transaction too
        abort,   // an abort, of a prepared transaction or of a subtransaction too
        nothing, // the end of the flushed WAL, or no records left of the allowance
        gone,    // the WAL at this position does not exist any more, or is not readable
    };

    // Pointers are valid until the next call.
    struct Record {
        Kind kind = Kind::nothing;
        TransactionId xid = InvalidTransactionId;
        XLogRecPtr begin = InvalidXLogRecPtr, end = InvalidXLogRecPtr;
        const char *bytes = nullptr; // of a message
        size_t size = 0;
        TimestampTz at = 0;                             // of a commit
        const TransactionId *subtransactions = nullptr; // of a commit or abort
        int subtransaction_count = 0;
    };

    WalReader() = default;
    ~WalReader();
    WalReader(const WalReader &) = delete;
    WalReader &operator=(const WalReader &) = delete;

    // The next record is the first one on the page of `position` or, if there is none yet, the first one to come:
    // the flush position often is no record start.
    void seek(XLogRecPtr position);

    // Reads on until there is something to tell. `allowance` is how many records may be read; it is counted down.
    // `with_ends` false: commits and aborts are of no interest either. Throws pg_error.
    Record next(int &allowance, bool with_ends);

    // Where the next record will be read; after seek(), before a record was found, the position that was sought.
    XLogRecPtr position() const { return position_; }
    // Everything flushed has been read.
    bool at_end() const { return position_ >= flushed_; }

private:
    void open();
    void close() noexcept;
    void find_first_record();
    Record read(int &allowance, bool with_ends);
    bool describe(Record &record, bool with_ends) const;
    bool describe_message(Record &record) const;
    bool describe_end(Record &record) const;

    XLogRecPtr position_ = InvalidXLogRecPtr;
    XLogRecPtr flushed_ = InvalidXLogRecPtr; // as last looked up
    bool at_record_ = false;                 // position_ is the start of a record, written or not
    MemoryContext context_ = nullptr;        // everything the reader allocates
    XLogReaderState *reader_ = nullptr;
    ReadLocalXLogPageNoWaitPrivate *page_ = nullptr;
};

} // namespace dbnet::bgworker
