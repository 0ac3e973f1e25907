// The running transaction's changes and their way into the WAL (see capture.hpp). Runs in backends.
//
// Messages are written at PRE_COMMIT (PRE_PREPARE), under the top-level transaction: what a rolled back transaction
// changed never reaches the WAL. After COMMIT nothing may fail any more, so there only a latch is set.
#include "capture/capture.hpp"

#include "capture/buffer.hpp"
#include "pg/shared_memory.hpp"
#include "settings.hpp"

#include <new>

extern "C" {
#include "access/xact.h"
}

namespace dbnet::capture {
namespace {

// Memory of a context for C++ containers. Does not longjmp: no memory is std::bad_alloc. Aligned as palloc does, which
// is enough for what is stored here, though std::pmr's arena asks for max_align_t.
class ContextMemory final : public std::pmr::memory_resource {
public:
    explicit ContextMemory(MemoryContext context) : context_(context) {}

private:
    static_assert(alignof(ChangeView) <= MAXIMUM_ALIGNOF && alignof(Buffer) <= MAXIMUM_ALIGNOF);

    void *do_allocate(size_t bytes, size_t) override {
        void *memory = MemoryContextAllocExtended(context_, bytes, MCXT_ALLOC_NO_OOM | MCXT_ALLOC_HUGE);
        if (memory == nullptr)
            throw std::bad_alloc();
        return memory;
    }
    void do_deallocate(void *memory, size_t, size_t) override { pfree(memory); }
    bool do_is_equal(const memory_resource &other) const noexcept override { return this == &other; }

    MemoryContext context_;
};

// Lives in a child of TopTransactionContext and goes with it; no destructor runs.
struct Pending {
    explicit Pending(MemoryContext context)
        : memory(context), changes(&memory, static_cast<size_t>(settings::capture_buffer_limit) * 1024) {}

    ContextMemory memory;
    Buffer changes;
};

struct Transaction {
    Pending *pending = nullptr;
    Oid role = InvalidOid;  // who made the first change
    bool is_ending = false; // our PRE_COMMIT has been: a change that comes now is written at once
    bool has_written = false;
};

Transaction transaction;

Header header() {
    Header header;
    std::memcpy(header.cookie.data(), pg::shared()->cookie, header.cookie.size());
    header.role = transaction.role;
    return header;
}

void write(const std::string &payload) {
    pg::call([&] { pg::compat::log_logical_message(message_prefix, payload.data(), payload.size()); });
    transaction.has_written = true;
}

void write_pending() {
    Encoder encoder(header());
    transaction.pending->changes.for_each([&](const ChangeView &change) {
        encoder.add(change);
        if (encoder.full())
            write(encoder.take());
    });
    if (!encoder.empty())
        write(encoder.take());
}

Pending &pending() {
    if (transaction.pending == nullptr) {
        const MemoryContext context = pg::call([] {
            return AllocSetContextCreateInternal(TopTransactionContext, "DBNet capture", ALLOCSET_DEFAULT_SIZES);
        });
        ContextMemory memory(context);
        transaction.pending = new (memory.allocate(sizeof(Pending), alignof(Pending))) Pending(context);
    }
    return *transaction.pending;
}

void warn_once() {
    static bool has_warned = false;
    if (has_warned)
        return;
    has_warned = true;
    pg::warning(ERRCODE_WARNING, "changes of mirrors are not carried out: DBNet is not loaded at server start",
                "Add dbnet to shared_preload_libraries in postgresql.conf and restart the server; what changed until "
                "then is found by the compare at the start.");
}

extern "C" void dbnet_capture_transaction(XactEvent event, void *) {
    switch (event) {
    case XACT_EVENT_PRE_COMMIT:
    case XACT_EVENT_PRE_PREPARE:
        transaction.is_ending = true;
        if (transaction.pending != nullptr)
            pg::enter([] { write_pending(); });
        break;
    case XACT_EVENT_COMMIT:
        if (transaction.has_written)
            pg::publish_commit(MyDatabaseId, XactLastCommitEnd);
        [[fallthrough]];
    case XACT_EVENT_ABORT:
    case XACT_EVENT_PREPARE:
        transaction = {};
        break;
    default: // of parallel workers, which change nothing
        break;
    }
}

} // namespace

void install() {
    RegisterXactCallback(dbnet_capture_transaction, nullptr);
}

void record_change(std::uint32_t relation, char operation, std::string_view name_space, std::string_view name) {
    if (pg::shared() == nullptr)
        return warn_once();
    if (!OidIsValid(transaction.role))
        transaction.role = GetOuterUserId();
    const ChangeView change{relation, operation, name_space, name};
    if (!transaction.is_ending) {
        pending().changes.add(change);
        return;
    }
    Encoder encoder(header());
    encoder.add(change);
    write(encoder.take());
}

} // namespace dbnet::capture
