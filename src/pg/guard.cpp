// Implementation of the guard (see guard.hpp); every process that loads the library.
#include "pg/guard.hpp"

#include <new>

namespace dbnet::pg {
namespace {

uint64 swallowed = 0;

std::optional<std::string> copied(const char *text) {
    return text ? std::optional<std::string>(text) : std::nullopt;
}

// Copies of errors are made here and emptied at once; created on first use, lives as long as the process.
MemoryContext scratch = nullptr;

ErrorFields to_fields(const ErrorData &data) {
    ErrorFields fields;
    fields.sqlstate = data.sqlerrcode;
    fields.message = data.message ? data.message : "missing error text";
    fields.detail = copied(data.detail);
    fields.detail_log = copied(data.detail_log);
    fields.hint = copied(data.hint);
    fields.context = copied(data.context);
    fields.backtrace = copied(data.backtrace);
    fields.schema_name = copied(data.schema_name);
    fields.table_name = copied(data.table_name);
    fields.column_name = copied(data.column_name);
    fields.datatype_name = copied(data.datatype_name);
    fields.constraint_name = copied(data.constraint_name);
    fields.internal_query = copied(data.internalquery);
    fields.cursor_position = data.cursorpos;
    fields.internal_position = data.internalpos;
    fields.saved_errno = data.saved_errno;
    fields.hide_statement = data.hide_stmt;
    fields.hide_context = data.hide_ctx;
    fields.to_server = data.output_to_server;
    fields.to_client = data.output_to_client;
    fields.filename = data.filename;
    fields.function = data.funcname;
    fields.domain = data.domain;
    fields.context_domain = data.context_domain;
    fields.message_id = data.message_id;
    fields.line = data.lineno;
    return fields;
}

char *palloced(const std::optional<std::string> &text) {
    return text ? pstrdup(text->c_str()) : nullptr;
}

// The way back, palloc'd in the current memory context; may longjmp.
ErrorData *to_error_data(const ErrorFields &fields) {
    auto *data = static_cast<ErrorData *>(palloc0(sizeof(ErrorData)));
    data->elevel = ERROR;
    data->sqlerrcode = fields.sqlstate;
    data->message = pstrdup(fields.message.c_str());
    data->detail = palloced(fields.detail);
    data->detail_log = palloced(fields.detail_log);
    data->hint = palloced(fields.hint);
    data->context = palloced(fields.context);
    data->backtrace = palloced(fields.backtrace);
    data->schema_name = palloced(fields.schema_name);
    data->table_name = palloced(fields.table_name);
    data->column_name = palloced(fields.column_name);
    data->datatype_name = palloced(fields.datatype_name);
    data->constraint_name = palloced(fields.constraint_name);
    data->internalquery = palloced(fields.internal_query);
    data->cursorpos = fields.cursor_position;
    data->internalpos = fields.internal_position;
    data->saved_errno = fields.saved_errno;
    data->hide_stmt = fields.hide_statement;
    data->hide_ctx = fields.hide_context;
    data->output_to_server = fields.to_server;
    data->output_to_client = fields.to_client;
    data->filename = fields.filename;
    data->funcname = fields.function;
    data->domain = fields.domain;
    data->context_domain = fields.context_domain;
    data->message_id = fields.message_id;
    data->lineno = fields.line;
    data->assoc_context = CurrentMemoryContext;
    return data;
}

// Raised when there is no memory left even to describe an error.
ErrorData *out_of_memory() noexcept {
    static char message[] = "out of memory";
    static char detail[] = "DBNet could not allocate memory.";
    static ErrorData data;
    data = ErrorData{};
    data.elevel = ERROR;
    data.sqlerrcode = ERRCODE_OUT_OF_MEMORY;
    data.message = message;
    data.detail = detail;
    data.filename = __FILE__;
    data.funcname = __func__;
    return &data;
}

internal::Failure failure_from(const ErrorFields &fields, bool is_new) noexcept {
    ErrorData *data = nullptr;
    auto copy = [&] {
        MemoryContextSwitchTo(ErrorContext);
        data = to_error_data(fields);
    };
    const MemoryContext before = CurrentMemoryContext;
    if (!internal::run([](void *argument) noexcept { (*static_cast<decltype(copy) *>(argument))(); }, &copy)) {
        FlushErrorState();
        data = out_of_memory();
        is_new = true;
    }
    MemoryContextSwitchTo(before);
    return {data, is_new};
}

ErrorFields fields_of(int sqlstate, std::string message) {
    ErrorFields fields;
    fields.sqlstate = sqlstate;
    fields.message = std::move(message);
    fields.filename = __FILE__;
    fields.function = __func__;
    fields.line = __LINE__;
    return fields;
}

} // namespace

namespace internal {

// Only this function calls sigsetjmp; nothing in it changes after, so nothing can be clobbered by the longjmp.
__attribute__((noinline)) bool run(Body body, void *argument) noexcept {
    sigjmp_buf *const exception_stack = PG_exception_stack;
    ErrorContextCallback *const context_stack = error_context_stack;
    const MemoryContext memory_context = CurrentMemoryContext;
    const ResourceOwner resource_owner = CurrentResourceOwner;
    const uint32 interrupt_holdoff = InterruptHoldoffCount;
    const uint32 cancel_holdoff = QueryCancelHoldoffCount;
    sigjmp_buf here;

    if (sigsetjmp(here, 0) == 0) {
        PG_exception_stack = &here;
        body(argument);
        PG_exception_stack = exception_stack;
        error_context_stack = context_stack;
        return true;
    }
    PG_exception_stack = exception_stack;
    error_context_stack = context_stack;
    CurrentMemoryContext = memory_context;
    CurrentResourceOwner = resource_owner;
    // errfinish() zeroed these; a caller that holds interrupts is still going to resume them.
    InterruptHoldoffCount = interrupt_holdoff;
    QueryCancelHoldoffCount = cancel_holdoff;
    return false;
}

void throw_pending() {
    ErrorData *data = nullptr;
    auto copy = [&] {
        if (scratch == nullptr)
            scratch = AllocSetContextCreateInternal(TopMemoryContext, "DBNet errors", ALLOCSET_SMALL_SIZES);
        MemoryContextSwitchTo(scratch);
        data = CopyErrorData();
    };
    const MemoryContext before = CurrentMemoryContext;
    const bool is_copied = run([](void *argument) noexcept { (*static_cast<decltype(copy) *>(argument))(); }, &copy);
    MemoryContextSwitchTo(before);
    FlushErrorState();
    if (!is_copied)
        data = out_of_memory();
    struct Emptied {
        ~Emptied() {
            if (scratch != nullptr)
                MemoryContextReset(scratch);
        }
    } emptied;
    throw pg_error(std::make_shared<const ErrorFields>(to_fields(*data)));
}

Failure current_exception_as_failure() noexcept {
    try {
        try {
            throw;
        } catch (const pg_error &caught) {
            return failure_from(caught.fields(), false);
        } catch (const error &caught) {
            ErrorFields fields = fields_of(caught.sqlstate(), caught.what());
            if (!caught.detail_text().empty())
                fields.detail = caught.detail_text();
            if (!caught.hint_text().empty())
                fields.hint = caught.hint_text();
            return failure_from(fields, true);
        } catch (const std::bad_alloc &) {
            return {out_of_memory(), true};
        } catch (const std::exception &caught) {
            return failure_from(
                fields_of(ERRCODE_INTERNAL_ERROR, std::string("DBNet internal error: ") + caught.what()), true);
        } catch (...) {
            return failure_from(fields_of(ERRCODE_INTERNAL_ERROR, "DBNet internal error of unknown type"), true);
        }
    } catch (...) { // no memory to describe it
        return {out_of_memory(), true};
    }
}

void raise(Failure failure) {
    if (failure.is_new) {
        ThrowErrorData(failure.data);
        pg_unreachable();
    }
    // As errfinish() does for a first error: whoever catches this counts on it.
    InterruptHoldoffCount = 0;
    QueryCancelHoldoffCount = 0;
    ReThrowError(failure.data);
}

void count_swallowed() noexcept {
    ++swallowed;
}

} // namespace internal

uint64 swallowed_errors() noexcept {
    return swallowed;
}

void log(const std::string &message, const std::string &hint) {
    call([&] {
        ereport(LOG, (errmsg_internal("%s", message.c_str()), hint.empty() ? 0 : errhint("%s", hint.c_str())));
    });
}

void warning(int sqlstate, const std::string &message, const std::string &hint) {
    call([&] {
        ereport(WARNING, (errcode(sqlstate), errmsg_internal("%s", message.c_str()),
                          hint.empty() ? 0 : errhint("%s", hint.c_str())));
    });
}

void check_for_interrupts() {
    if (INTERRUPTS_PENDING_CONDITION())
        call([] { CHECK_FOR_INTERRUPTS(); });
}

} // namespace dbnet::pg
