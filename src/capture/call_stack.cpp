// Frames (see call_stack.hpp). Runs in backends.
//
// Every running PL/pgSQL function has an entry on error_context_stack whose argument is its execution state. Which
// entries are PL/pgSQL's is told by the address of the callback, and PL/pgSQL gives that address to its plugin (as the
// PL/pgSQL debugger uses it). The slot of the plugin is single: DBNet fills it, with a plugin that does nothing, only
// while it is empty, and reads the address from whichever plugin is there.
#include "capture/call_stack.hpp"

extern "C" {
#include "mb/pg_wchar.h"
#include "plpgsql.h"
}

namespace dbnet::capture {
namespace {

constexpr int text_limit = 200; // bytes

using Callback = void (*)(void *);

PLpgSQL_plugin nothing{};
PLpgSQL_plugin **slot = nullptr;
Callback statement_callback = nullptr; // SPI's, once it has been met

Callback plpgsql_callback() noexcept {
    return *slot != nullptr ? (*slot)->error_callback : nullptr;
}

Frame frame_of(const PLpgSQL_execstate &state) noexcept {
    Frame frame;
    frame.function = state.func->fn_oid;
    if (state.trigdata != nullptr)
        frame.trigger = state.trigdata->tg_trigger->tgoid;
    if (state.err_stmt != nullptr)
        frame.line = state.err_stmt->lineno;
    return frame;
}

// What one entry alone would add to an error message; its first line.
std::string_view text_of(const ErrorContextCallback &entry) {
    ErrorContextCallback *const stack = error_context_stack;
    ErrorContextCallback alone{nullptr, entry.callback, entry.arg};
    error_context_stack = &alone;
    char *text = GetErrorContextStack(); // if it raises, the guard puts the stack back
    error_context_stack = stack;
    if (text == nullptr)
        return {};
    int length = static_cast<int>(strcspn(text, "\n"));
    if (length > text_limit)
        length = pg_mbcliplen(text, length, text_limit);
    return {text, static_cast<size_t>(length)};
}

// SPI's entries tell the statement that the function below is at, which that says itself. In other languages than
// English they are not recognised, and shown.
bool is_statement(std::string_view text) {
    return text.starts_with("SQL statement ") || text.starts_with("PL/pgSQL assignment ") ||
           text.starts_with("PL/pgSQL expression ") || text.starts_with("SQL expression ");
}

} // namespace

void install_call_stack() {
    slot = reinterpret_cast<PLpgSQL_plugin **>(find_rendezvous_variable("PLpgSQL_plugin"));
    if (*slot == nullptr)
        *slot = &nothing;
}

int current_line() noexcept {
    const Callback plpgsql = plpgsql_callback();
    for (const ErrorContextCallback *entry = error_context_stack; entry != nullptr; entry = entry->previous)
        if (plpgsql != nullptr && entry->callback == plpgsql)
            return frame_of(*static_cast<const PLpgSQL_execstate *>(entry->arg)).line;
    return 0;
}

CallStack call_stack() {
    CallStack stack;
    const Callback plpgsql = plpgsql_callback();
    std::string_view statement;
    for (const ErrorContextCallback *entry = error_context_stack; entry != nullptr && stack.count < stack.frames.size();
         entry = entry->previous) {
        if (entry->callback == statement_callback)
            continue;
        if (entry->callback == plpgsql) {
            stack.frames[stack.count++] = frame_of(*static_cast<const PLpgSQL_execstate *>(entry->arg));
            continue;
        }
        const std::string_view text = text_of(*entry);
        if (is_statement(text))
            statement_callback = entry->callback;
        else if (!text.empty())
            stack.frames[stack.count++].text = text;
    }
    // A statement that no function runs: a foreign key's, say.
    if (stack.count == 0 && error_context_stack != nullptr)
        if (const auto text = text_of(*error_context_stack); !text.empty())
            stack.frames[stack.count++].text = text;
    return stack;
}

} // namespace dbnet::capture
