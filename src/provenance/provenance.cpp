// Sets provenance up (see provenance.hpp). Every process.
#include "provenance/provenance.hpp"

#include "capture/recorder.hpp"
#include "provenance/hooks/ddl_hooks.hpp"
#include "provenance/hooks/function_hooks.hpp"
#include "provenance/hooks/function_info.hpp"
#include "provenance/hooks/statement_hooks.hpp"
#include "provenance/record/failures.hpp"
#include "provenance/record/own_heap.hpp"
#include "provenance/record/own_tables.hpp"
#include "provenance/record/recorder.hpp"
#include "provenance/record/row_version.hpp"
#include "provenance/record/tracked_table.hpp"

#include "pg/guard.hpp"

namespace dbnet::provenance {
namespace {

EventId last_flushed = 0;

capture::RowVersions row(Oid, const TriggerData &fired) {
    capture::RowVersions versions{};
    const MemoryContext memory = CurrentMemoryContext;
    try {
        versions = pg::call([&] { return record_row(fired); });
    } catch (const pg::error &error) {
        if (settings::provenance_on_error == settings::OnError::error)
            throw;
        MemoryContextSwitchTo(memory);
        count_failure("a row", error.what());
    }
    flush_if_large();
    return versions;
}

std::int64_t flush_records() {
    last_flushed = flush();
    return last_flushed;
}

std::uint32_t final_number_of(std::uint32_t number) noexcept {
    const EventId event = event_of(number);
    return event > last_flushed ? static_cast<std::uint32_t>(event - last_flushed) : 0;
}

} // namespace

void install() {
    capture::set_recorder({row, flush_records, final_number_of});
    pg::call([] {
        install_recorder();
        install_statement_hooks();
        install_function_hooks();
        install_ddl_hooks();
        watch_own_tables();
        watch_own_heaps();
        watch_tables();
        watch_functions();
    });
}

} // namespace dbnet::provenance
