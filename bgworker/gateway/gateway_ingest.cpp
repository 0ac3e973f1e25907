// Transactions of the gateway (see gateway_ingest.hpp).
#include "bgworker/gateway/gateway_ingest.hpp"

#include "bgworker/worker_process.hpp"
#include "gateway/http/request_headers.hpp"
#include "gateway/otlp/pinned_attributes.hpp"
#include "pg/spi.hpp"
#include "settings.hpp"
#include "telemetry/database_text.hpp"
#include "telemetry/otlp/inflate.hpp"
#include "telemetry/tables/table_writer.hpp"

#include <algorithm>

namespace dbnet::bgworker {
namespace {

using gateway::Compression;
using gateway::OtlpCall;
using gateway::Token;

constexpr size_t bytes_at_once = 64 * 1024 * 1024; // unpacked bodies in one transaction; one may be larger by itself
// Records in one transaction; the last request may bring many more by itself.
constexpr size_t records_at_once = 250'000;
constexpr auto longest_lost = std::chrono::seconds(1); // in one turn, before the others are told to come again
constexpr auto repeat_report_after = std::chrono::minutes(1);
constexpr size_t longest_user_agent = 200;
constexpr const char *not_a_bearer_token = "Authorization does not hold a bearer token";
constexpr size_t most_admitted = 10'000;

// What a trigger does wrong, or does not find: its owner can mend that. RAISE EXCEPTION is what it says on purpose.
bool is_fault_of_trigger(int sqlstate) {
    switch (ERRCODE_TO_CATEGORY(sqlstate)) {
    case MAKE_SQLSTATE('0', '9', '0', '0', '0'): // triggers
    case MAKE_SQLSTATE('0', 'A', '0', '0', '0'): // what cannot be done, such as moving a row to another partition
    case MAKE_SQLSTATE('2', '0', '0', '0', '0'): // a CASE without the case
    case MAKE_SQLSTATE('2', '1', '0', '0', '0'): // a query of too many rows
    case MAKE_SQLSTATE('2', '4', '0', '0', '0'): // cursors
    case MAKE_SQLSTATE('2', '7', '0', '0', '0'): // a row that it has changed meanwhile
    case MAKE_SQLSTATE('2', 'D', '0', '0', '0'): // COMMIT
    case MAKE_SQLSTATE('2', 'F', '0', '0', '0'): // no RETURN
    case MAKE_SQLSTATE('3', '4', '0', '0', '0'): // cursors, by name
    case MAKE_SQLSTATE('3', '8', '0', '0', '0'): // functions in other languages
    case MAKE_SQLSTATE('3', '9', '0', '0', '0'): // how a function is called, and answers
    case MAKE_SQLSTATE('3', 'F', '0', '0', '0'): // schemas
    case MAKE_SQLSTATE('4', '2', '0', '0', '0'): // what is not there, or not theirs
    case MAKE_SQLSTATE('H', 'V', '0', '0', '0'): // foreign tables
        return true;
    default:
        return sqlstate == ERRCODE_NO_DATA_FOUND || sqlstate == ERRCODE_TOO_MANY_ROWS || // SELECT INTO STRICT
               sqlstate == ERRCODE_ASSERT_FAILURE;
    }
}

// By what the class of an SQLSTATE says about who can do something: the sender (400), time or the owner of a trigger,
// which the data waits for with the sender (503), or nobody (500).
int status_of(int sqlstate) {
    if (is_fault_of_trigger(sqlstate))
        return 503;
    switch (ERRCODE_TO_CATEGORY(sqlstate)) {
    case MAKE_SQLSTATE('0', '8', '0', '0', '0'): // connection
    case MAKE_SQLSTATE('2', '5', '0', '0', '0'): // state of the transaction: read-only
    case MAKE_SQLSTATE('4', '0', '0', '0', '0'): // deadlock, serialization
    case MAKE_SQLSTATE('5', '3', '0', '0', '0'): // memory, disk
    case MAKE_SQLSTATE('5', '5', '0', '0', '0'): // locks
    case MAKE_SQLSTATE('5', '7', '0', '0', '0'): // canceled, shutting down
    case MAKE_SQLSTATE('5', '8', '0', '0', '0'): // the system
        return 503;
    case MAKE_SQLSTATE('2', '2', '0', '0', '0'): // data
    case MAKE_SQLSTATE('2', '3', '0', '0', '0'): // constraints of users
    case MAKE_SQLSTATE('4', '4', '0', '0', '0'):
    case MAKE_SQLSTATE('5', '4', '0', '0', '0'): // too large
    case MAKE_SQLSTATE('P', '0', '0', '0', '0'): // triggers of users
        return 400;
    default:
        return 500;
    }
}

bool may_concern_one(int sqlstate) {
    switch (ERRCODE_TO_CATEGORY(sqlstate)) {
    case MAKE_SQLSTATE('4', '0', '0', '0', '0'):
    case MAKE_SQLSTATE('5', '5', '0', '0', '0'):
        return true;
    default:
        return is_fault_of_trigger(sqlstate) || sqlstate == ERRCODE_QUERY_CANCELED;
    }
}

// Of a header: text as the database takes it.
std::string printable(std::string_view value) {
    std::string text(value.substr(0, longest_user_agent));
    std::replace_if(
        text.begin(), text.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
    return text;
}

bool has_records(const telemetry::Batch &batch) {
    return std::any_of(batch.requests.begin(), batch.requests.end(),
                       [](const telemetry::Request &request) { return request.items > 0 || request.rejected > 0; });
}

} // namespace

// Runs inside a callback of the HTTP library: what is thrown becomes a 503 there.
gateway::Admission GatewayIngest::admit(std::string_view authorization, bool is_telemetry) {
    if (is_telemetry && admitted_.contains(authorization))
        return {};
    const auto text = gateway::bearer_token(authorization);
    if (!text)
        return {401, not_a_bearer_token};
    Token token;
    try {
        if (!known_tokens_.may_know(*text))
            return {401, gateway::unknown_token};
        pg::in_transaction([&] {
            token = gateway::check_token(*text, "ingest");
            if (!is_telemetry && token.status == 403)
                token = gateway::check_token(*text, "api");
        });
    } catch (const Leave &) {
        must_leave_ = true;
        return {503, "the database is busy with the extension"};
    } catch (const pg::pg_error &error) {
        return {status_of(error.sqlstate()), std::string("the database says: ") + error.what()};
    }
    if (is_telemetry && token.status == 200) {
        if (admitted_.size() >= most_admitted)
            admitted_.clear();
        admitted_.emplace(authorization);
    }
    return {token.status, token.message};
}

void GatewayIngest::serve(std::span<const OtlpCall> calls) {
    lost_ = {};
    while (!calls.empty())
        calls = calls.subspan(serve_together(calls));
    batch_.clear();
    unpacked_.clear();
}

// Returns how many were answered: as many as fit into a transaction.
size_t GatewayIngest::serve_together(std::span<const OtlpCall> calls) {
    std::optional<Failure> failure = transaction(calls);
    const std::span<const OtlpCall> served = calls.first(std::max<size_t>(verdicts_.size(), 1));
    if (!failure) {
        for (size_t i = 0; i < served.size(); i++)
            answer(served[i], verdicts_[i]);
    } else if (failure->concerns == Concerns::all || served.size() == 1) {
        for (const OtlpCall &call : served)
            application_.refuse(call, failure->status, failure->message);
    } else { // one of them spoils it for the others
        bool is_hopeless = failure->concerns == Concerns::perhaps && lost_ >= longest_lost;
        for (const OtlpCall &call : served) {
            if (is_hopeless) {
                application_.refuse(call, failure->status, failure->message);
                continue;
            }
            const auto start = std::chrono::steady_clock::now();
            failure = transaction({&call, 1});
            answer(call, failure ? Verdict{failure->status, failure->message, {}} : verdicts_.front());
            if (!failure || failure->concerns == Concerns::request)
                continue;
            lost_ += std::chrono::steady_clock::now() - start;
            is_hopeless = failure->concerns == Concerns::all || lost_ >= longest_lost;
        }
    }
    return served.size();
}

std::optional<GatewayIngest::Failure> GatewayIngest::transaction(std::span<const OtlpCall> calls) {
    const auto start = std::chrono::steady_clock::now();
    std::optional<Failure> failure = run_transaction(calls);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    if (failure) {
        application_.counters.failed_transactions++;
        report(*failure);
    } else {
        application_.counters.commit.add(seconds.count());
    }
    problem_ = failure && failure->concerns != Concerns::request ? failure->message : "";
    return failure;
}

std::optional<GatewayIngest::Failure> GatewayIngest::run_transaction(std::span<const OtlpCall> calls) {
    const auto failed = [](int sqlstate, const char *message, const std::string &hint) {
        const int status = status_of(sqlstate);
        return Failure{status, std::string("the database says: ") + message, hint,
                       status != 503 || sqlstate == ERRCODE_OUT_OF_MEMORY ? Concerns::request
                       : may_concern_one(sqlstate)                        ? Concerns::perhaps
                                                                          : Concerns::all};
    };
    verdicts_.clear();
    batch_.clear();
    unpacked_.clear();
    senders_.clear();
    bytes_ = 0;
    try {
        pg::in_transaction([&] { fill(calls); });
        return std::nullopt;
    } catch (const pg::pg_error &error) {
        return failed(error.sqlstate(), error.what(), error.hint());
    } catch (const pg::error &error) {
        return failed(error.sqlstate(), error.what(), error.hint_text());
    } catch (const std::bad_alloc &) {
        return Failure{503, "the gateway has no memory left", {}, Concerns::request};
    }
}

void GatewayIngest::fill(std::span<const OtlpCall> calls) {
    batch_.encode = telemetry::database_text_encoder();
    for (const OtlpCall &call : calls) {
        verdicts_.push_back(take(call));
        if (bytes_ >= bytes_at_once || batch_.records() >= records_at_once)
            break;
    }
    if (has_records(batch_))
        telemetry::write(batch_);
    for (const auto &[text, sender] : senders_)
        if (sender.token.status == 200)
            gateway::note_use(sender.token, sender.client);
}

// Into the batch, if sender and body allow.
GatewayIngest::Verdict GatewayIngest::take(const OtlpCall &call) {
    gateway::Exchange &exchange = *call.exchange;
    telemetry::Sender sender{exchange.client(), {}, printable(exchange.header("User-Agent").value_or(""))};
    if (const auto authorization = exchange.header("Authorization")) {
        auto found = senders_.find(*authorization);
        if (found == senders_.end()) {
            const auto text = gateway::bearer_token(*authorization);
            Token token;
            if (text)
                token = gateway::check_token(*text, "ingest");
            else
                token.message = not_a_bearer_token;
            found = senders_.emplace(*authorization, Sender{std::move(token), exchange.client()}).first;
        }
        const Token &token = found->second.token;
        if (token.status != 200) {
            if (const auto admitted = admitted_.find(*authorization); admitted != admitted_.end())
                admitted_.erase(admitted);
            return {token.status, token.message, {}};
        }
        sender.token = token.name;
        sender.resource_attributes =
            gateway::pinned_attributes(telemetry::utf8_of_database_text(token.resource_attributes));
    }

    std::string_view body = exchange.body();
    if (call.compression != Compression::none) {
        const size_t limit = static_cast<size_t>(settings::gateway_body_limit) * 1024;
        std::string &unpacked = unpacked_.emplace_back();
        const auto inflate = call.compression == Compression::gzip ? telemetry::inflate_gzip : telemetry::inflate_zstd;
        switch (inflate(body, limit, unpacked)) {
        case telemetry::Inflated::broken:
            return {400, "the body cannot be decompressed as its Content-Encoding says", {}};
        case telemetry::Inflated::too_large:
            return {413, "the request's body is too large when it is decompressed", {}};
        case telemetry::Inflated::ok:
            body = unpacked;
        }
    }
    bytes_ += body.size();
    telemetry::Decoded decoded = telemetry::decode(call.signal, call.encoding, body, sender, batch_);
    decoded.message = telemetry::utf8_of_database_text(decoded.message); // names of what was rejected
    return {decoded.is_readable ? 200 : 400, decoded.message, std::move(decoded)};
}

void GatewayIngest::answer(const OtlpCall &call, const Verdict &verdict) {
    if (verdict.status == 200)
        application_.accept(call, verdict.decoded);
    else
        application_.refuse(call, verdict.status, verdict.message, verdict.decoded.field);
}

void GatewayIngest::report(const Failure &failure) {
    const auto now = std::chrono::steady_clock::now();
    if (failure.message == reported_ && now - reported_at_ < repeat_report_after)
        return;
    reported_ = failure.message;
    reported_at_ = now;
    pg::log("DBNet: telemetry is refused: " + failure.message, failure.hint);
}

} // namespace dbnet::bgworker
