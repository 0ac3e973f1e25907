// The stack of what runs (see frame.hpp). Backends.
#include "provenance/hooks/frame.hpp"

#include "capture/call_stack.hpp"
#include "pg/as_role.hpp"
#include "provenance/record/number_index.hpp"

#include <new>

extern "C" {
#include "access/xact.h"
#include "utils/timestamp.h"
}

namespace dbnet::provenance {
namespace {

constexpr int text_limit = 10 * 1024; // bytes of a statement's text that are kept

Frame *top = nullptr;
Frame *free_frames = nullptr;
Frame *statements = nullptr; // newest first

// Of foreign keys that have ended: by command id while the transaction runs, and those around which no statement runs
// (deferred ones).
constexpr uint32 most_foreign_keys = 1 << 20;
NumberIndex *foreign_keys = nullptr;
Frame *unowned = nullptr;

bool has_failed_to_write = false; // COPY or TRUNCATE, until the subtransaction is over for it

bool is_running(const Frame *frame) noexcept {
    for (const Frame *one = top; one != nullptr; one = one->below)
        if (one == frame)
            return true;
    return false;
}

void release_all(Frame *&list) noexcept {
    while (list != nullptr) {
        Frame *next = list->next_statement;
        release_frame(list);
        list = next;
    }
}

bool has_lines(const Frame *frame) noexcept {
    return frame != nullptr && (frame->kind != ActivityKind::statement || frame->query == nullptr);
}

// A frame that others still refer to outlives the text that it was made for.
void keep_text(Frame *frame) noexcept {
    if (frame->text == nullptr || frame->has_own_text)
        return;
    const int length = frame->text_length < text_limit ? frame->text_length : text_limit;
    auto *copy = static_cast<char *>(MemoryContextAllocExtended(TopMemoryContext, length + 1, MCXT_ALLOC_NO_OOM));
    if (copy != nullptr) {
        memcpy(copy, frame->text, length);
        copy[length] = '\0';
    }
    frame->text = copy;
    frame->text_length = copy != nullptr ? length : 0;
    frame->has_own_text = copy != nullptr;
}

} // namespace

Frame *top_frame() noexcept {
    return top;
}

bool is_running(const FunctionInfo *function) noexcept {
    for (const Frame *frame = top; frame != nullptr; frame = frame->below)
        if (frame->function == function)
            return true;
    return false;
}

Frame *new_frame(ActivityKind kind) {
    Frame *frame = free_frames;
    if (frame != nullptr)
        free_frames = frame->below;
    else
        frame = static_cast<Frame *>(MemoryContextAlloc(TopMemoryContext, sizeof(Frame)));
    *frame = Frame{};
    frame->kind = kind;
    frame->references = 1;
    frame->subtransaction = GetCurrentSubTransactionId();
    frame->role = GetUserId();
    frame->outer_role = pg::acting_role();
    frame->session_user = GetSessionUserId();
    frame->started_at = GetCurrentTimestamp();
    frame->within = top;
    if (top != nullptr)
        ++top->references;
    if (has_lines(top))
        frame->line = capture::current_line();
    return frame;
}

void push_frame(Frame *frame) noexcept {
    frame->below = top;
    top = frame;
    ++frame->references;
}

void pop_frame(Frame *frame) noexcept {
    if (!is_running(frame))
        return;
    for (bool is_last = false; !is_last;) {
        Frame *one = top;
        is_last = one == frame;
        top = one->below;
        release_frame(one);
    }
}

void end_frame(Frame *frame, ActivityStatus status) noexcept {
    if (frame->duration >= 0)
        return;
    frame->status = status;
    frame->duration = GetCurrentTimestamp() - frame->started_at;
    if (frame->references > 1)
        keep_text(frame);
}

void withhold_texts() noexcept {
    for (Frame *frame = top; frame != nullptr; frame = frame->below)
        frame->is_withheld = true;
}

void release_frame(Frame *frame) noexcept {
    while (frame != nullptr && --frame->references == 0) {
        Frame *within = frame->within;
        if (frame->has_own_text)
            pfree(const_cast<char *>(frame->text));
        frame->below = free_frames;
        free_frames = frame;
        frame = within;
    }
}

void add_statement(Frame *frame) noexcept {
    frame->next_statement = statements;
    statements = frame;
}

Frame *find_statement(const QueryDesc *query) noexcept {
    for (Frame *frame = statements; frame != nullptr; frame = frame->next_statement)
        if (frame->query == query)
            return frame;
    return nullptr;
}

Frame *find_statement(CommandId command) noexcept {
    for (Frame *frame = statements; frame != nullptr; frame = frame->next_statement)
        if (frame->command == command)
            return frame;
    for (Frame *frame = top; frame != nullptr; frame = frame->below)
        if (frame->command == command)
            return frame;
    if (foreign_keys == nullptr)
        return nullptr;
    auto *frame = reinterpret_cast<Frame *>(foreign_keys->find(command));
    return frame != nullptr && frame->command == command && frame->references > 0 ? frame : nullptr;
}

void statement_has_ended(Frame *ended) {
    for (Frame **link = &statements; *link != nullptr; link = &(*link)->next_statement)
        if (*link == ended) {
            *link = ended->next_statement;
            break;
        }
    ended->query = nullptr;
    release_all(ended->foreign_keys);
    end_frame(ended, ActivityStatus::done);
    if (!ended->is_foreign_key)
        return release_frame(ended);
    Frame *&list = ended->within != nullptr ? ended->within->foreign_keys : unowned;
    ended->next_statement = list;
    list = ended;
    if (foreign_keys == nullptr) {
        void *memory = MemoryContextAlloc(TopTransactionContext, sizeof(NumberIndex));
        foreign_keys = new (memory) NumberIndex(TopTransactionContext, most_foreign_keys);
    }
    foreign_keys->put(ended->command, reinterpret_cast<uint64>(ended));
}

void note_failed_write() noexcept {
    has_failed_to_write = true;
}

bool is_writing(SubTransactionId since) noexcept {
    if (has_failed_to_write)
        return true;
    for (const Frame *frame = statements; frame != nullptr; frame = frame->next_statement)
        if (frame->subtransaction >= since && frame->command != InvalidCommandId)
            return true;
    return false;
}

void forget_statements(SubTransactionId since) noexcept {
    has_failed_to_write = false;
    for (Frame **link = &statements; *link != nullptr;) {
        Frame *frame = *link;
        if (frame->subtransaction >= since && !is_running(frame)) {
            *link = frame->next_statement;
            release_all(frame->foreign_keys);
            release_frame(frame);
        } else {
            link = &frame->next_statement;
        }
    }
    if (since != InvalidSubTransactionId)
        return;
    release_all(unowned);
    foreign_keys = nullptr; // its memory goes with the transaction
}

} // namespace dbnet::provenance
