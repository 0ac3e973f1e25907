// The running transaction's changes and their way into the WAL (see capture.hpp). Runs in backends.
//
// Messages are written at PRE_COMMIT (PRE_PREPARE), under the top-level transaction: what a rolled back transaction
// changed never reaches the WAL, nor what a rolled back savepoint took with it. After COMMIT nothing may fail any more,
// so there only a latch is set.
#include "capture/capture.hpp"

#include "capture/buffer.hpp"
#include "capture/call_stack.hpp"
#include "capture/recorder.hpp"
#include "pg/as_role.hpp"
#include "pg/as_superuser.hpp"
#include "pg/shared_memory.hpp"
#include "settings.hpp"

#include <map>
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
    static_assert(alignof(ChangeView) <= MAXIMUM_ALIGNOF && alignof(Buffer) <= MAXIMUM_ALIGNOF &&
                  alignof(Causes) <= MAXIMUM_ALIGNOF);

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
struct Noted {
    explicit Noted(MemoryContext context)
        : memory(context), changes(&memory, static_cast<size_t>(settings::capture_buffer_limit) * 1024),
          causes(&memory), requests(&memory) {}

    ContextMemory memory;
    Buffer changes;
    Causes causes;
    std::pmr::map<std::int64_t, std::uint32_t> requests; // operation to cause; also those of savepoints rolled back to
};

struct Transaction {
    Noted *noted = nullptr;
    bool is_ending = false; // our PRE_COMMIT has been: a change that comes now is written at once
    bool has_written = false;
    std::int64_t provenance = 0; // event id, once it is ending
};

Transaction transaction;
Recorder recorder;

Header header(Oid role) {
    Header header;
    std::memcpy(header.cookie.data(), pg::shared()->cookie, header.cookie.size());
    header.role = role;
    header.provenance = static_cast<std::uint64_t>(transaction.provenance);
    return header;
}

void write(const std::string &payload) {
    pg::call([&] { pg::compat::log_logical_message(message_prefix, payload.data(), payload.size()); });
    transaction.has_written = true;
}

void flush_recorder() {
    if (recorder.flush != nullptr)
        transaction.provenance = recorder.flush();
}

// The change as the message carries it, now that versions have their final numbers.
ChangeView recorded(ChangeView change) {
    if (change.event != 0)
        change.event = recorder.final_number(change.event);
    return change;
}

void write_noted() {
    if (pg::shared() == nullptr)
        return;
    Oid role = InvalidOid;
    Encoder encoder(header(role));
    transaction.noted->changes.for_each([&](const ChangeView &change, std::uint32_t) {
        if (change.role != role) { // a message is one role's
            if (!encoder.empty())
                write(encoder.take());
            encoder = Encoder(header(role = change.role));
        }
        encoder.add(recorded(change));
        if (encoder.full())
            write(encoder.take());
    });
    if (!encoder.empty())
        write(encoder.take());
}

Noted &noted() {
    if (transaction.noted == nullptr) {
        const MemoryContext context = pg::call([] {
            return AllocSetContextCreateInternal(TopTransactionContext, "DBNet capture", ALLOCSET_DEFAULT_SIZES);
        });
        ContextMemory memory(context);
        transaction.noted = new (memory.allocate(sizeof(Noted), alignof(Noted))) Noted(context);
    }
    return *transaction.noted;
}

// Where the running statement comes from: 0 is a statement that no function runs.
std::uint32_t find_cause() {
    if (!is_inside_function())
        return 0;
    CallStack stack;
    pg::call([&] { stack = call_stack(); });
    return noted().causes.number_of(stack.cause());
}

pg::Statement ask_offline{"SELECT dbnet.is_offline(server) FROM dbnet.mirrored_relation"
                          " WHERE relation OPERATOR(pg_catalog.=) $1::pg_catalog.regclass"};
pg::Statement ask_real{"SELECT FROM dbnet.object WHERE relation OPERATOR(pg_catalog.=) $1::pg_catalog.regclass"
                       " AND namespace OPERATOR(pg_catalog.=) $2 AND name OPERATOR(pg_catalog.=) $3"
                       " AND uid OPERATOR(pg_catalog.<>) 'offline'"};

bool is_offline_mirror(Oid relation) {
    return pg::as_superuser([&] {
        const pg::Result found = pg::execute(ask_offline, relation);
        return found.rows() > 0 && found.boolean(0, 0);
    });
}

void warn_once(Oid relation) {
    static bool has_warned = false;
    static Oid offline = InvalidOid; // the last mirror that needs no warning
    if (has_warned || relation == offline)
        return;
    if (is_offline_mirror(relation)) {
        offline = relation;
        return;
    }
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
        pg::enter([] {
            flush_recorder();
            if (transaction.noted != nullptr)
                write_noted();
        });
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

extern "C" void dbnet_capture_subtransaction(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *) {
    if (transaction.noted == nullptr)
        return;
    if (event == SUBXACT_EVENT_COMMIT_SUB)
        transaction.noted->changes.commit(id, parent);
    else if (event == SUBXACT_EVENT_ABORT_SUB)
        transaction.noted->changes.roll_back(id);
}

} // namespace

void install() {
    install_call_stack();
    RegisterXactCallback(dbnet_capture_transaction, nullptr);
    RegisterSubXactCallback(dbnet_capture_subtransaction, nullptr);
}

bool is_assumed(std::uint32_t relation, std::string_view name_space, std::string_view name) {
    return is_offline_mirror(relation) &&
           pg::as_superuser([&] { return pg::execute(ask_real, Oid{relation}, name_space, name).affected() == 0; });
}

void set_recorder(const Recorder &one) noexcept {
    recorder = one;
}

RowVersions record_row(Oid mirror, const TriggerData &fired) {
    if (recorder.row == nullptr)
        return {};
    const RowVersions versions = recorder.row(mirror, fired);
    if (transaction.is_ending)
        flush_recorder();
    return versions;
}

void record_change(std::uint32_t relation, char operation, std::string_view name_space, std::string_view name,
                   std::uint32_t *cause, std::uint32_t event) {
    if (pg::shared() == nullptr && operation != 'S')
        warn_once(relation);
    const ChangeView change{relation, operation, name_space, name, event, pg::acting_role()};
    if (!transaction.is_ending) {
        const std::uint32_t number = cause != nullptr && *cause != unknown_cause ? *cause : find_cause();
        if (cause != nullptr)
            *cause = number;
        noted().changes.add(change, GetCurrentSubTransactionId(), number);
        return;
    }
    if (pg::shared() == nullptr)
        return;
    Encoder encoder(header(change.role));
    encoder.add(recorded(change));
    write(encoder.take());
}

void record_request(std::uint32_t relation, std::int64_t id) {
    record_change(relation, 'O');
    if (!transaction.is_ending)
        noted().requests[id] = find_cause();
}

Cause cause_of_request(std::int64_t id) {
    if (transaction.noted == nullptr)
        return {};
    const auto found = transaction.noted->requests.find(id);
    return found == transaction.noted->requests.end() ? Cause() : transaction.noted->causes.find(found->second);
}

std::vector<Pending> pending_changes() {
    std::vector<Pending> changes;
    if (transaction.noted != nullptr)
        transaction.noted->changes.for_each([&](const ChangeView &change, std::uint32_t cause) {
            changes.push_back({change, transaction.noted->causes.find(cause)});
        });
    return changes;
}

} // namespace dbnet::capture
