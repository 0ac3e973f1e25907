// Frames for statements (see statement_hooks.hpp). Backends.
//
// A statement is on the stack only while it runs or fires its triggers, not from its start to its end: a cursor that is
// read in steps would stay there. No C++ object with a destructor is alive here, and no guard: what runs inside may end
// the transaction.
#include "provenance/hooks/statement_hooks.hpp"

#include "pg/finally.hpp"
#include "provenance/hooks/configuration.hpp"
#include "provenance/hooks/ddl_hooks.hpp"
#include "provenance/hooks/foreign_key.hpp"
#include "provenance/hooks/traceparent.hpp"
#include "provenance/record/failures.hpp"
#include "provenance/record/recorder.hpp"

extern "C" {
#include "access/xact.h"
#include "executor/executor.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
}

namespace dbnet::provenance {
namespace {

ExecutorStart_hook_type previous_start = nullptr;
ExecutorRun_hook_type previous_run = nullptr;
ExecutorFinish_hook_type previous_finish = nullptr;
ExecutorEnd_hook_type previous_end = nullptr;
ProcessUtility_hook_type previous_utility = nullptr;

const char *tag_of(CmdType operation) noexcept {
    switch (operation) {
    case CMD_INSERT:
        return "INSERT";
    case CMD_UPDATE:
        return "UPDATE";
    case CMD_DELETE:
        return "DELETE";
    case CMD_MERGE:
        return "MERGE";
    default:
        return "SELECT";
    }
}

// The part of the query string that is the statement; location and length as PostgreSQL has them (-1, 0: all of it).
void set_text(Frame *frame, const char *query, int location, int length) {
    if (query == nullptr)
        return;
    // Since 18 a statement begins at its first word: the comments before it, where clients say why, are its own, too.
    const size_t first_word = location > 0 ? location : 0, start = start_of_comments({query, first_word});
    frame->text = query + start;
    frame->text_length =
        static_cast<int>(length > 0 ? strnlen(frame->text, length + (first_word - start)) : strlen(frame->text));
    while (frame->text_length > 0 && strchr(" \t\r\n", *frame->text) != nullptr) {
        ++frame->text;
        --frame->text_length;
    }
    while (frame->text_length > 0 && strchr(" \t\r\n", frame->text[frame->text_length - 1]) != nullptr)
        --frame->text_length;
    if (frame->text_length == 0) // BEGIN ATOMIC keeps none
        frame->text = nullptr;
}

bool writes(const PlannedStmt &planned) noexcept {
    return planned.commandType != CMD_SELECT || planned.hasModifyingCTE || planned.rowMarks != NIL;
}

void remember(QueryDesc *query, int flags) {
    const PlannedStmt &planned = *query->plannedstmt;
    Frame *frame = new_frame(ActivityKind::statement);
    frame->tag = tag_of(planned.commandType);
    frame->query = query;
    set_text(frame, query->sourceText, planned.stmt_location, planned.stmt_len);
    if (writes(planned))
        frame->command = query->estate->es_output_cid;
    frame->is_update = planned.commandType == CMD_UPDATE && !planned.hasModifyingCTE;
    if ((flags & EXEC_FLAG_SKIP_TRIGGERS) != 0 && writes(planned)) { // PostgreSQL's foreign keys alone do that
        frame->is_foreign_key = true;
        or_warn("a foreign key's statement", [frame, query] { find_parent_row(frame, query); });
    }
    add_statement(frame);
}

extern "C" void dbnet_executor_start(QueryDesc *query, int flags) {
    if (previous_start != nullptr)
        previous_start(query, flags);
    else
        standard_ExecutorStart(query, flags);
    if (is_recording() && (flags & EXEC_FLAG_EXPLAIN_ONLY) == 0)
        remember(query, flags);
}

void run(DBNET_EXECUTOR_RUN_PARAMETERS) {
    if (previous_run != nullptr)
        previous_run(DBNET_EXECUTOR_RUN_ARGUMENTS);
    else
        standard_ExecutorRun(DBNET_EXECUTOR_RUN_ARGUMENTS);
}

extern "C" void dbnet_executor_run(DBNET_EXECUTOR_RUN_PARAMETERS) {
    Frame *frame = find_statement(query);
    if (frame == nullptr)
        return run(DBNET_EXECUTOR_RUN_ARGUMENTS);
    push_frame(frame);
    pg::finally([&] { run(DBNET_EXECUTOR_RUN_ARGUMENTS); }, [frame] { pop_frame(frame); });
}

void finish(QueryDesc *query) {
    if (previous_finish != nullptr)
        previous_finish(query);
    else
        standard_ExecutorFinish(query);
}

extern "C" void dbnet_executor_finish(QueryDesc *query) {
    Frame *frame = find_statement(query);
    if (frame == nullptr)
        return finish(query);
    push_frame(frame);
    pg::finally([query] { finish(query); }, [frame] { pop_frame(frame); });
}

extern "C" void dbnet_executor_end(QueryDesc *query) {
    if (Frame *frame = find_statement(query); frame != nullptr) {
        if (query->estate != nullptr)
            frame->rows = static_cast<int64>(query->estate->es_processed);
        end_frame(frame, ActivityStatus::done);
        finish_activity(frame);
        statement_has_ended(frame);
    }
    if (previous_end != nullptr)
        previous_end(query);
    else
        standard_ExecutorEnd(query);
}

// ---- everything that has no plan ----

void utility(PlannedStmt *planned, const char *query, bool read_only_tree, ProcessUtilityContext context,
             ParamListInfo parameters, QueryEnvironment *environment, DestReceiver *destination,
             QueryCompletion *completion) {
    if (previous_utility != nullptr)
        previous_utility(planned, query, read_only_tree, context, parameters, environment, destination, completion);
    else
        standard_ProcessUtility(planned, query, read_only_tree, context, parameters, environment, destination,
                                completion);
}

extern "C" void dbnet_provenance_utility(PlannedStmt *planned, const char *query, bool read_only_tree,
                                         ProcessUtilityContext context, ParamListInfo parameters,
                                         QueryEnvironment *environment, DestReceiver *destination,
                                         QueryCompletion *completion) {
    const Node *statement = planned->utilityStmt;
    if (IsA(statement, TransactionStmt)) {
        const auto *transaction = reinterpret_cast<const TransactionStmt *>(statement);
        if (transaction->kind == TRANS_STMT_PREPARE && transaction->gid != nullptr && IsTransactionState())
            transaction_note().prepared_as = MemoryContextStrdup(TopTransactionContext, transaction->gid);
        return utility(planned, query, read_only_tree, context, parameters, environment, destination, completion);
    }
    if (!is_recording() || context == PROCESS_UTILITY_SUBCOMMAND || !IsTransactionState())
        return utility(planned, query, read_only_tree, context, parameters, environment, destination, completion);
    const Configuration configuration = configuration_of(statement);
    Frame *frame = new_frame(ActivityKind::statement);
    frame->tag = GetCommandTagName(CreateCommandTag(planned->utilityStmt));
    set_text(frame, query, planned->stmt_location, planned->stmt_len);
    if (configuration.text != nullptr) {
        frame->text = MemoryContextStrdup(TopTransactionContext, configuration.text);
        frame->text_length = static_cast<int>(strlen(frame->text));
    } else if (holds_secret(statement)) {
        frame->is_withheld = true;
    }
    if (holds_secret(statement))
        withhold_texts();
    if (IsA(statement, CopyStmt) && reinterpret_cast<const CopyStmt *>(statement)->is_from)
        frame->command = GetCurrentCommandId(false);
    const bool is_writing = frame->command != InvalidCommandId || IsA(statement, TruncateStmt);
    push_frame(frame);
    pg::finally(
        [&] {
            utility(planned, query, read_only_tree, context, parameters, environment, destination, completion);
            if (completion != nullptr && completion->commandTag != CMDTAG_UNKNOWN && completion->nprocessed > 0)
                frame->rows = static_cast<int64>(completion->nprocessed);
            if (configuration.done != nullptr)
                or_warn("a DDL statement", [=] { keep_ddl(frame, configuration.done, configuration.what); });
            end_frame(frame, ActivityStatus::done);
        },
        [frame, is_writing] {
            if (is_writing && frame->duration < 0)
                note_failed_write();
            end_frame(frame, ActivityStatus::failed);
            finish_activity(frame);
            pop_frame(frame);
            release_frame(frame);
        });
}

} // namespace

void install_statement_hooks() {
    previous_start = ExecutorStart_hook;
    ExecutorStart_hook = dbnet_executor_start;
    previous_run = ExecutorRun_hook;
    ExecutorRun_hook = dbnet_executor_run;
    previous_finish = ExecutorFinish_hook;
    ExecutorFinish_hook = dbnet_executor_finish;
    previous_end = ExecutorEnd_hook;
    ExecutorEnd_hook = dbnet_executor_end;
    previous_utility = ProcessUtility_hook;
    ProcessUtility_hook = dbnet_provenance_utility;
}

} // namespace dbnet::provenance
