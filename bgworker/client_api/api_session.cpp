// A session of the client API: a process that is connected as the role of a token, as if that role had logged in. So
// there is no superuser to get back to, and RESET ROLE or SET SESSION AUTHORIZATION lead nowhere. It serves one request
// after the other, each in a transaction of its own, and is as new after each of them (what DISCARD ALL does). The api
// worker starts it, gives it requests, cancels it with SIGINT and lets go of the queues when it is to end.
#include "bgworker/queued_process.hpp"
#include "bgworker/worker_process.hpp"

#include "gateway/client_api/api_error.hpp"
#include "gateway/client_api/api_message.hpp"
#include "gateway/client_api/api_routes.hpp"
#include "gateway/client_api/call_by_name.hpp"
#include "gateway/client_api/request_fields.hpp"
#include "gateway/client_api/run_statement.hpp"
#include "pg/deadline.hpp"
#include "pg/memory.hpp"
#include "pg/spi.hpp"
#include "provenance/hooks/remote_client.hpp"
#include "settings.hpp"

extern "C" {
#include "access/xact.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
}

namespace dbnet::bgworker {
namespace {

using gateway::ApiAction;
using gateway::ApiAnswer;
using gateway::ApiError;
using gateway::ApiRequest;
using gateway::ApiRoute;

SessionSegment *segment = nullptr;
emit_log_hook_type previous_log_hook = nullptr;

// ---- start ----

// A role that may not log in, a database without room: the client is told what the log is told.
extern "C" void dbnet_session_failure(ErrorData *data) {
    if (data->elevel >= ERROR && segment != nullptr && pg_atomic_read_u32(&segment->is_ready) == 0) {
        strlcpy(segment->failure_state, unpack_sql_state(data->sqlerrcode), sizeof segment->failure_state);
        strlcpy(segment->failure, data->message != nullptr ? data->message : "", sizeof segment->failure);
    }
    if (previous_log_hook != nullptr)
        previous_log_hook(data);
}

// ---- one request ----

void report_activity(const ApiRoute &route) {
    pg::call([&] {
        SetCurrentStatementStartTimestamp();
        char text[128];
        snprintf(text, sizeof text, "%s %s", route.method, route.path);
        pgstat_report_activity(STATE_RUNNING, text);
    });
}

// Clients are told apart by it in pg_stat_activity and in the log. What goes on record is not the request's to change.
void introduce(const ApiRequest &request) {
    provenance::RemoteClient &client = provenance::remote_client;
    strlcpy(client.address, request.client.substr(0, request.client.find('%')).c_str(), sizeof client.address);
    pg::call([&] {
        const auto clipped = [](const char *text) {
            return pnstrdup(text, pg_mbcliplen(text, static_cast<int>(strlen(text)), NAMEDATALEN - 1));
        };
        strlcpy(client.application, clipped(psprintf("dbnet api %s", request.token.c_str())),
                sizeof client.application);
        SetConfigOption("application_name",
                        clipped(psprintf("dbnet api %s %s", request.client.c_str(), request.token.c_str())),
                        PGC_USERSET, PGC_S_SESSION);
    });
}

Jsonb *body_object(const ApiRequest &request) {
    Jsonb *body = pg::call([&] {
        if (request.body.find('\0') != std::string::npos)
            throw pg::error(ERRCODE_UNTRANSLATABLE_CHARACTER, "the body holds a NUL");
        const char *text = pg_any_to_server(request.body.c_str(), static_cast<int>(request.body.size()), PG_UTF8);
        return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
    });
    if (!JB_ROOT_IS_OBJECT(body))
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, "the body is not a JSON object");
    return body;
}

std::string text_of(Jsonb *document) {
    if (document == nullptr)
        return "null";
    return std::string(pg::call([&]() -> const char * {
        return JsonbToCString(nullptr, &document->root, static_cast<int>(VARSIZE(document)));
    }));
}

std::string list(const ApiRoute &route, const ApiRequest &request) {
    const pg::Argument arguments[] = {request.schema.empty() ? pg::Argument(nullptr) : pg::Argument(request.schema)};
    return std::string(pg::execute_once(route.target, arguments).text(0, 0));
}

std::string call(const ApiRoute &route, const ApiRequest &request) {
    Jsonb *body = body_object(request);
    Jsonb *result = nullptr;
    try {
        pg::call([&] { result = gateway::call_by_name(route.target, body); });
    } catch (const pg::error &caught) {
        if (caught.sqlstate() != ERRCODE_UNDEFINED_FUNCTION)
            throw;
        // The function is there: it is the body that has other members.
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE, "the body's members are not those of the route")
            .detail(caught.detail_text())
            .hint("GET /api/v1/openapi.json tells them.");
    }
    return text_of(result);
}

// What one statement may take: what the request asks for, within what the settings allow.
struct Query {
    std::string statement;
    Jsonb *parameters;
    int64 rows;
    int timeout; // ms; 0: none
};

// The shorter of the setting and the role's statement_timeout; ms, 0: none.
int time_limit() noexcept {
    return StatementTimeout > 0 ? std::min(StatementTimeout, settings::api_statement_timeout)
                                : settings::api_statement_timeout;
}

int64 number_within(const nlohmann::json &body, const char *name, int64 lowest, int64 most, int64 absent) {
    const auto member = body.find(name);
    if (member == body.end() || member->is_null())
        return absent;
    if (!member->is_number_integer() || member->get<int64>() < lowest)
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE,
                        std::string("\"") + name + "\" is not a number from " + std::to_string(lowest) + " on");
    return most > 0 ? std::min(member->get<int64>(), most) : member->get<int64>();
}

Query query_of(const ApiRequest &request) {
    Jsonb *body = body_object(request);
    const nlohmann::json members = nlohmann::json::parse(text_of(body));
    Query query;
    query.rows = number_within(members, "row_limit", 0, settings::api_row_limit, settings::api_row_limit);
    query.timeout = static_cast<int>(number_within(members, "timeout", 1, time_limit(), time_limit()));
    query.parameters = pg::call([&]() -> Jsonb * {
        JsonbValue value;
        if (getKeyJsonValueFromContainer(&body->root, "parameters", strlen("parameters"), &value) == nullptr ||
            value.type == jbvNull)
            return nullptr;
        return JsonbValueToJsonb(&value);
    });
    gateway::RequestFields fields(members, "the request");
    query.statement = fields.text("statement");
    fields.leave({"parameters", "row_limit", "timeout"});
    fields.finish();
    return query;
}

void run_query(const Query &query, ApiAnswer &to) {
    gateway::StatementLimits limits;
    limits.rows = query.rows;
    limits.bytes = int64{settings::gateway_body_limit} * 1024;
    // Not what SPI calls read-only: functions that write say themselves that they cannot in such a transaction.
    XactReadOnly = true;
    StringInfo answer = nullptr;
    bool is_cut = false;
    pg::call([&] {
        pgstat_report_activity(STATE_RUNNING, query.statement.c_str());
        answer = makeStringInfo();
        is_cut =
            gateway::run_statement(query.statement.c_str(), query.parameters, limits,
                                   to.is_csv ? gateway::StatementFormat::csv : gateway::StatementFormat::json, answer);
    });
    to.is_cut_csv = is_cut && to.is_csv;
    to.body.assign(answer->data, static_cast<size_t>(answer->len));
}

const pg::Statement set_traceparent{"SELECT pg_catalog.set_config('dbnet.traceparent', $1, true)"};

ApiAnswer run(const ApiRequest &request, const ApiRoute &route) {
    ApiAnswer answer;
    answer.status = static_cast<uint32_t>(route.status);
    introduce(request);
    // Also over what runs at the commit. A query has a limit of its own, and writes nothing.
    const pg::Deadline deadline(route.action == ApiAction::query ? 0 : time_limit());
    pg::in_transaction([&] {
        pg::check_for_interrupts(); // nobody may wait for it any more
        if (!request.traceparent.empty())
            pg::execute(set_traceparent, request.traceparent);
        if (route.action == ApiAction::query) {
            const Query query = query_of(request);
            const pg::Deadline own(query.timeout);
            answer.is_csv = request.wants_csv;
            run_query(query, answer);
        } else {
            const std::string result = route.action == ApiAction::list ? list(route, request) : call(route, request);
            answer.body = std::string("{\"") + route.result + "\": " + result + "}";
        }
        const int64 limit = int64{settings::gateway_body_limit} * 1024;
        if (static_cast<int64>(answer.body.size()) > limit) // undone, not left without an answer
            throw pg::error(ERRCODE_PROGRAM_LIMIT_EXCEEDED,
                            "the answer is larger than " + std::to_string(limit / 1024) + " kB");
        if (GetDatabaseEncoding() != PG_UTF8)
            answer.body = std::string(pg::call([&]() -> const char * {
                return pg_server_to_any(answer.body.c_str(), static_cast<int>(answer.body.size()), PG_UTF8);
            }));
    });
    if (!answer.is_csv)
        answer.body += "\n";
    return answer;
}

ApiAnswer failure(const char *sqlstate, ApiError error) {
    ApiAnswer answer;
    answer.status = static_cast<uint32_t>(gateway::http_status(sqlstate));
    answer.try_again = answer.status == 503;
    error.sqlstate = sqlstate;
    answer.body = gateway::error_body(error);
    return answer;
}

ApiAnswer failure_of(const pg::pg_error &caught) {
    const pg::ErrorFields &fields = caught.fields();
    ApiError error;
    error.message = fields.message;
    error.detail = fields.detail.value_or("");
    error.hint = fields.hint.value_or("");
    error.context = fields.context.value_or("");
    error.statement = fields.internal_query.value_or("");
    error.position = fields.internal_position > 0 ? fields.internal_position : fields.cursor_position;
    char sqlstate[6];
    strlcpy(sqlstate, unpack_sql_state(fields.sqlstate), sizeof sqlstate);
    return failure(sqlstate, std::move(error));
}

ApiAnswer serve(const ApiRequest &request) {
    const ApiRoute &route = gateway::api_routes()[request.route];
    report_activity(route);
    try {
        return run(request, route);
    } catch (const pg::pg_error &caught) {
        return failure_of(caught);
    } catch (const pg::error &caught) {
        ApiError error;
        error.message = caught.what();
        error.detail = caught.detail_text();
        error.hint = caught.hint_text();
        char sqlstate[6];
        strlcpy(sqlstate, unpack_sql_state(caught.sqlstate()), sizeof sqlstate);
        return failure(sqlstate, std::move(error));
    } catch (const std::exception &caught) {
        ApiError error;
        error.message = caught.what();
        return failure("XX000", std::move(error));
    }
}

// What DISCARD ALL does, which cannot run in a transaction; values that ALTER ROLE … SET gave are in force again.
// False: somebody's event trigger is against it, and the session must not go on.
bool reset_session() {
    static const char *const statements[] = {
        "CLOSE ALL",        "SET SESSION AUTHORIZATION DEFAULT",          "RESET ALL",     "DEALLOCATE ALL",
        "UNLISTEN *",       "SELECT pg_catalog.pg_advisory_unlock_all()", "DISCARD PLANS", "DISCARD TEMP",
        "DISCARD SEQUENCES"};
    try {
        pg::in_transaction([] {
            for (const char *statement : statements)
                pg::execute_once(statement);
        });
        return true;
    } catch (const pg::pg_error &caught) {
        pg::log("DBNet: a session of the client API ends, it cannot be reset: " + caught.message());
        return false;
    }
}

// ---- the loop ----

void serve_requests(const RequestQueues &queues) {
    std::string bytes;
    pg::MemoryScope memory("DBNet client API request");
    while (receive_request(queues, bytes)) {
        memory.reset();
        const std::optional<ApiRequest> request = ApiRequest::from_bytes(bytes);
        std::string().swap(bytes);
        if (!request || request->route >= gateway::api_routes().size())
            throw pg::error(ERRCODE_INTERNAL_ERROR, "an unreadable request came from the api worker");
        // What is pending was meant for the request before, or for this one and came before it.
        QueryCancelPending = pg_atomic_read_u32(&segment->is_cancelled) != 0;
        InterruptPending = true;
        const std::string answer = serve(*request).to_bytes();
        const bool is_as_new = reset_session();
        pg::call([] {
            pgstat_report_stat(true);
            pgstat_report_activity(STATE_IDLE, nullptr);
        });
        if (!send_answer(queues, answer) || !is_as_new)
            return;
    }
}

} // namespace
} // namespace dbnet::bgworker

DBNET_WORKER_MAIN(dbnet_api_session_main) {
    using namespace dbnet;
    using namespace dbnet::bgworker;
    RequestQueues queues{};
    pg::call([&] {
        pqsignal(SIGINT, StatementCancelHandler);
        accept_signals();
        queues = attach_queues(DatumGetUInt32(argument));
        segment = queues.segment;
        previous_log_hook = emit_log_hook;
        emit_log_hook = dbnet_session_failure;
        BackgroundWorkerInitializeConnectionByOid(segment->database, segment->role, 0);
        process_session_preload_libraries(); // auditing is often done by one
        pg_atomic_write_u32(&segment->is_ready, 1);
        pgstat_report_activity(STATE_IDLE, nullptr);
    });
    serve_requests(queues);
    pg::call([] { proc_exit(0); });
}
