// Classification of answers; see the header. Rules are those of kubernetes.md A6-A10, A16-A18, A24, W3, W6, W7, W16.
// Runs in the mirror worker and in backends.
#include "kubernetes/error.hpp"

#include "kubernetes/json_access.hpp"
#include "kubernetes/object/path.hpp"

#include <algorithm>

namespace dbnet::kubernetes {
namespace {

using nlohmann::json;

constexpr size_t longest_text = 4096; // bytes kept of an answer that is no Status
constexpr size_t most_causes = 100;
constexpr int longest_wait = 3600; // s

// What a Status says, or what can be made of another body.
struct Facts {
    int code = 0;
    bool is_status = false;
    std::string reason;
    std::string message;
    std::string continue_token;
    std::string details_kind;
    std::string details_name;
    int retry_after = -1; // s
    std::vector<Cause> causes;

    bool has_cause(std::string_view cause_reason) const noexcept {
        return std::any_of(causes.begin(), causes.end(),
                           [&](const Cause &cause) { return cause.reason == cause_reason; });
    }
    bool says(std::string_view words) const noexcept { return message.find(words) != std::string::npos; }
};

// conflict with "kubectl" using v1 → kubectl. The name is printed as a Go string, which JSON reads for all but odd
// names.
std::string quoted_manager(const std::string &message) {
    const size_t start = message.find('"');
    if (start == std::string::npos)
        return {};
    size_t end = start + 1;
    while (end < message.size() && message[end] != '"')
        end += message[end] == '\\' ? 2 : 1;
    if (end >= message.size())
        return {};
    const json name = json::parse(message.begin() + static_cast<ptrdiff_t>(start),
                                  message.begin() + static_cast<ptrdiff_t>(end) + 1, nullptr, false);
    return name.is_string() ? name.get<std::string>() : message.substr(start + 1, end - start - 1);
}

std::vector<Cause> causes_of(const json *details) {
    std::vector<Cause> causes;
    const json *found = array_member(details, "causes");
    if (found == nullptr)
        return causes;
    for (const json &entry : *found) {
        if (causes.size() == most_causes)
            break;
        Cause cause;
        cause.reason = text_member(&entry, "reason");
        cause.field = FieldPath::from_server(text_member(&entry, "field")).text();
        cause.message = text_member(&entry, "message");
        if (cause.reason == "FieldManagerConflict")
            cause.manager = quoted_manager(cause.message);
        causes.push_back(std::move(cause));
    }
    return causes;
}

// failed to create typed patch object (/web; apps/v1, Kind=Deployment): .spec.replicas: expected numeric …
// names the field only in its text.
void find_field_in_text(Facts &facts) {
    if (!facts.causes.empty() || !facts.says("typed patch object"))
        return;
    const size_t start = facts.message.find("): .");
    if (start == std::string::npos)
        return;
    const size_t field = start + 3;
    const size_t end = facts.message.find(": ", field);
    if (end == std::string::npos)
        return;
    Cause cause;
    cause.field = FieldPath::from_server(std::string_view(facts.message).substr(field, end - field)).text();
    cause.message = facts.message.substr(end + 2);
    facts.causes.push_back(std::move(cause));
}

Facts facts_of(const json &status) {
    Facts facts;
    facts.is_status = true;
    facts.code = static_cast<int>(std::clamp<int64_t>(integer_member(&status, "code", 0), 0, 999));
    facts.reason = text_member(&status, "reason");
    facts.message = text_member(&status, "message");
    facts.continue_token = text_member(member(&status, "metadata"), "continue");
    const json *details = member(&status, "details");
    facts.details_kind = text_member(details, "kind");
    facts.details_name = text_member(details, "name");
    facts.retry_after =
        static_cast<int>(std::clamp<int64_t>(integer_member(details, "retryAfterSeconds", -1), -1, longest_wait));
    facts.causes = causes_of(details);
    find_field_in_text(facts);
    return facts;
}

// The longest prefix of at most longest_text bytes that does not cut a character.
std::string shortened(std::string_view text) {
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' '))
        text.remove_suffix(1);
    if (text.size() <= longest_text)
        return std::string(text);
    size_t end = longest_text;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80)
        --end;
    return std::string(text.substr(0, end)) + "...";
}

// Bodies are Status objects, JSON that lacks its kind, or plain text, whatever the content type says.
Facts facts_of(const Response &response) {
    Facts facts;
    const json body = parse_json(response.body);
    if (body.is_object() && (body.contains("message") || text_member(&body, "kind") == "Status"))
        facts = facts_of(body);
    else
        facts.message = shortened(response.body);
    facts.code = response.status;
    if (response.retry_after >= 0)
        facts.retry_after = response.retry_after;
    return facts;
}

Outcome::Kind conflict_kind(const Facts &facts, std::string_view plural) {
    if (facts.has_cause("FieldManagerConflict"))
        return Outcome::conflict;
    if (facts.reason == "AlreadyExists")
        return facts.says("object is being deleted") ? Outcome::being_deleted : Outcome::already_exists;
    if (facts.says("uid mismatch") || facts.says("UID in the precondition") || facts.says("UID in precondition"))
        return Outcome::uid_mismatch;
    if (facts.says("all content is removed from this namespace"))
        return Outcome::being_deleted;
    // A quota that changed while an object was counted against it; the object itself was not touched.
    if (facts.details_kind == "resourcequotas" && plural != "resourcequotas")
        return Outcome::retry;
    return Outcome::stale;
}

Outcome::Kind missing_kind(const Facts &facts, std::string_view plural) {
    if (!facts.is_status || (facts.details_kind.empty() && facts.details_name.empty()))
        return Outcome::kind_missing;
    if (facts.details_kind == "namespaces" && plural != "namespaces")
        return Outcome::namespace_missing;
    return Outcome::not_found;
}

Outcome::Kind invalid_kind(const Facts &facts) {
    for (const Cause &cause : facts.causes) {
        if (cause.field == "metadata.uid")
            return Outcome::uid_mismatch;
        if (cause.reason == "FieldValueTooLong" && cause.field.empty())
            return Outcome::too_large;
    }
    return Outcome::invalid;
}

Outcome::Kind internal_kind(const Facts &facts, bool ambiguous) {
    if (facts.says("required revision is a future revision"))
        return Outcome::future_version;
    // Of etcd, and of the API server's connection to it.
    if (facts.says("etcdserver: request is too large") || facts.says("trying to send message larger than max"))
        return Outcome::too_large;
    if (facts.says("etcdserver: request timed out") || facts.says("context deadline exceeded"))
        return ambiguous ? Outcome::ambiguous : Outcome::retry;
    if (!facts.reason.empty() || facts.retry_after >= 0 || facts.says("etcdserver:") || facts.says("rpc error"))
        return Outcome::retry;
    return Outcome::schema_500;
}

Outcome::Kind kind_of(const Facts &facts, std::string_view plural, bool ambiguous) {
    switch (facts.code) {
    case 401:
        return Outcome::unauthorized;
    case 403:
        return facts.has_cause("NamespaceTerminating") ? Outcome::namespace_terminating : Outcome::denied;
    case 404:
        return missing_kind(facts, plural);
    case 408:
        return Outcome::retry;
    case 409:
        return conflict_kind(facts, plural);
    case 410:
        return Outcome::gone;
    case 413:
        return Outcome::too_large;
    case 422:
        return invalid_kind(facts);
    case 429:
        return facts.has_cause("DisruptionBudget") ? Outcome::disruption_budget : Outcome::retry;
    case 500:
        return internal_kind(facts, ambiguous);
    case 504:
        if (facts.has_cause("ResourceVersionTooLarge"))
            return Outcome::future_version;
        return ambiguous ? Outcome::ambiguous : Outcome::retry;
    default:
        break;
    }
    if (facts.code >= 200 && facts.code < 300)
        return Outcome::ok;
    if (facts.code >= 400 && facts.code < 500)
        return Outcome::invalid;
    if (facts.code >= 500)
        return ambiguous ? Outcome::ambiguous : Outcome::retry;
    return Outcome::unavailable;
}

Outcome outcome_of(Facts &&facts, std::string_view plural, bool ambiguous) {
    Outcome outcome;
    outcome.kind = kind_of(facts, plural, ambiguous);
    outcome.status = facts.code;
    if (outcome.kind == Outcome::ok)
        return outcome;
    outcome.reason = std::move(facts.reason);
    outcome.message = std::move(facts.message);
    if (outcome.message.empty())
        outcome.message = "HTTP status " + std::to_string(facts.code) + " without an explanation";
    outcome.causes = std::move(facts.causes);
    outcome.continue_token = std::move(facts.continue_token);
    if (facts.retry_after >= 0)
        outcome.retry_after_ms = std::min(facts.retry_after, longest_wait) * 1000;
    return outcome;
}

} // namespace

const char *name(Outcome::Kind kind) noexcept {
    switch (kind) {
    case Outcome::ok:
        return "ok";
    case Outcome::retry:
        return "retry";
    case Outcome::conflict:
        return "conflict";
    case Outcome::stale:
        return "stale";
    case Outcome::already_exists:
        return "already_exists";
    case Outcome::being_deleted:
        return "being_deleted";
    case Outcome::invalid:
        return "invalid";
    case Outcome::denied:
        return "denied";
    case Outcome::namespace_missing:
        return "namespace_missing";
    case Outcome::namespace_terminating:
        return "namespace_terminating";
    case Outcome::not_found:
        return "not_found";
    case Outcome::kind_missing:
        return "kind_missing";
    case Outcome::gone:
        return "gone";
    case Outcome::unauthorized:
        return "unauthorized";
    case Outcome::uid_mismatch:
        return "uid_mismatch";
    case Outcome::too_large:
        return "too_large";
    case Outcome::schema_500:
        return "schema_500";
    case Outcome::ambiguous:
        return "ambiguous";
    case Outcome::unavailable:
        return "unavailable";
    case Outcome::disruption_budget:
        return "disruption_budget";
    case Outcome::future_version:
        return "future_version";
    }
    return "unknown";
}

// There is no code for it, only what validation functions of built-in kinds and rules of custom ones say.
bool is_immutable(const Outcome &outcome) {
    static constexpr std::string_view words[] = {
        "immutable",         "may not change", "may only change",      "may not be changed",
        "cannot be changed", "cannot change",  "for fields other than"};
    const auto is_said_so = [](const Cause &cause) {
        return (cause.reason == "FieldValueInvalid" || cause.reason == "FieldValueForbidden") &&
               std::ranges::any_of(
                   words, [&](std::string_view word) { return cause.message.find(word) != std::string::npos; });
    };
    return outcome.kind == Outcome::invalid && outcome.status == 422 && !outcome.causes.empty() &&
           std::ranges::all_of(outcome.causes, is_said_so);
}

bool is_permanent(Outcome::Kind kind) noexcept {
    switch (kind) {
    case Outcome::conflict:
    case Outcome::already_exists:
    case Outcome::invalid:
    case Outcome::denied:
    case Outcome::uid_mismatch:
    case Outcome::too_large:
        return true;
    default:
        return false;
    }
}

Outcome classify(const Response &response, std::string_view plural) {
    if (!response.transport_error.empty() || response.status == 0) {
        Outcome outcome;
        outcome.kind = response.ambiguous ? Outcome::ambiguous : Outcome::unavailable;
        outcome.reason = response.timed_out ? "Timeout" : "ConnectionFailed";
        outcome.message = response.transport_error.empty() ? "no answer" : response.transport_error;
        return outcome;
    }
    if (response.status >= 200 && response.status < 300) {
        Outcome outcome;
        outcome.status = response.status;
        return outcome;
    }
    return outcome_of(facts_of(response), plural, response.ambiguous);
}

Outcome classify_status(const json &status) {
    return outcome_of(status.is_object() ? facts_of(status) : Facts(), {}, false);
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
