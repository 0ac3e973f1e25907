// Reads of the resource API: get, list and the start of a watch.
#include "api.hpp"
#include "file.hpp"
#include "watch.hpp"

#include <algorithm>
#include <charconv>

namespace kubesim {

namespace {

const char *const inconsistent_continue =
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list.";

std::string encode_continue(int64_t revision, const std::string &start) {
    // The token's "start" is a key with a trailing NUL: the first key after it.
    std::string text = "{\"v\":\"meta.k8s.io/v1\",\"rv\":" + std::to_string(revision) +
                       ",\"start\":" + dump(start + std::string(1, '\0')) + "}";
    std::string token = base64(text);
    while (token.ends_with('='))
        token.pop_back();
    for (char &c : token)
        c = c == '+' ? '-' : c == '/' ? '_' : c;
    return token;
}

void decode_continue(std::string token, int64_t &revision, std::string &start) {
    for (char &c : token)
        c = c == '-' ? '+' : c == '_' ? '/' : c;
    std::string text;
    json parsed = base64_decode(token, text) ? json::parse(text, nullptr, false) : json();
    const json *rv = find(parsed, "rv");
    start = text_of(parsed, "start");
    if (!rv || !rv->is_number_integer() || start.empty())
        throw ApiError::bad_request(
            "invalid continue token: continue key is not valid: invalid character 'i' looking for "
            "beginning of value");
    revision = rv->get<int64_t>();
    if (start.back() == '\0')
        start.pop_back();
}

uint64_t revision_parameter(const Request &request) {
    std::string text = request.parameter("resourceVersion");
    uint64_t revision = 0;
    if (!text.empty() && !parse_revision(text, revision))
        throw ApiError::internal("resourceVersion: Invalid value: " + go_quoted(text) +
                                 ": strconv.ParseUint: parsing " + go_quoted(text) + ": invalid syntax");
    return revision;
}

int64_t integer_parameter(const Request &request, const char *name) {
    std::string text = request.parameter(name);
    int64_t value = 0;
    auto result = std::from_chars(text.data(), text.data() + text.size(), value);
    if (!text.empty() && (result.ec != std::errc() || result.ptr != text.data() + text.size()))
        throw ApiError::bad_request("strconv.ParseInt: parsing " + go_quoted(text) + ": invalid syntax");
    return value;
}

[[noreturn]] void invalid_list_options(const std::vector<FieldError> &errors) {
    throw ApiError::invalid("meta.k8s.io", "ListOptions", "", errors);
}

void check_version_match(const Request &request) {
    std::string match = request.parameter("resourceVersionMatch");
    if (match.empty())
        return;
    const std::string field = "resourceVersionMatch";
    std::vector<FieldError> errors;
    if (!request.has_parameter("resourceVersion") || request.parameter("resourceVersion").empty())
        errors.push_back(
            FieldError::forbidden(field, "resourceVersionMatch is forbidden unless resourceVersion is provided"));
    if (!request.parameter("continue").empty())
        errors.push_back(FieldError::forbidden(field, "resourceVersionMatch is forbidden when continue is provided"));
    if (match != "Exact" && match != "NotOlderThan")
        errors.push_back(FieldError::not_supported(field, go_quoted(match), {"Exact", "NotOlderThan", ""}));
    if (match == "Exact" && request.parameter("resourceVersion") == "0")
        errors.push_back(
            FieldError::forbidden(field, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""));
    if (!errors.empty())
        invalid_list_options(errors);
}

} // namespace

bool parse_revision(const std::string &text, uint64_t &revision) {
    auto result = std::from_chars(text.data(), text.data() + text.size(), revision);
    return !text.empty() && result.ec == std::errc() && result.ptr == text.data() + text.size();
}

Response Api::get(const Target &target, const Request &request) {
    Representation how = Representation::negotiate(request.header("accept"));
    uint64_t wanted = revision_parameter(request);
    if (wanted > store_.revision())
        throw ApiError::too_large_resource_version(wanted, store_.revision());
    StoredPtr stored = store_.get(*target.kind, target.key());
    if (!stored)
        throw ApiError::not_found(target.kind->group, target.kind->plural, target.name);
    Response response;
    response.content_type = how.content_type();
    response.body = how.object(*seen_as(*target.kind, stored));
    return response;
}

std::vector<StoredPtr> Api::select(const Target &target, const Request &request, const Store::Objects &objects,
                                   uint64_t revision, uint64_t limit, const std::string &start, json &list_metadata) {
    LabelSelector labels(request.parameter("labelSelector"));
    FieldSelector fields(request.parameter("fieldSelector"), target.kind->behaviour.field_selectors,
                         target.kind->selects_own_fields());
    std::string prefix = target.name_space.empty() ? "" : target.name_space + "/";
    auto at = start.empty() ? objects.lower_bound(prefix) : objects.upper_bound(prefix + start);
    auto in_range = [&] { return at != objects.end() && at->first.starts_with(prefix); };
    auto wanted = [&] {
        return labels.matches(at->second->body.at("metadata")) &&
               fields.matches(seen_as(*target.kind, at->second)->body);
    };
    std::vector<StoredPtr> out;
    for (; in_range() && (limit == 0 || out.size() < limit); ++at)
        if (wanted())
            out.push_back(at->second);
    list_metadata = {{"resourceVersion", std::to_string(revision)}};
    while (limit != 0 && in_range() && !wanted())
        ++at;
    if (limit != 0 && in_range()) {
        std::string last = out.back()->key.substr(prefix.size());
        list_metadata["continue"] = encode_continue(static_cast<int64_t>(revision), last);
        // With a selector the server cannot tell how many will follow.
        if (labels.everything() && fields.everything()) {
            int64_t remaining = 0;
            for (; in_range(); ++at)
                remaining++;
            list_metadata["remainingItemCount"] = remaining;
        }
    }
    return out;
}

Response Api::list(const Target &target, const Request &request) {
    Representation how = Representation::negotiate(request.header("accept"));
    const Kind &kind = *target.kind;
    std::string token = request.parameter("continue"), match = request.parameter("resourceVersionMatch");
    check_version_match(request);
    int64_t asked_limit = integer_parameter(request, "limit");
    uint64_t limit = asked_limit > 0 ? static_cast<uint64_t>(asked_limit) : 0;
    uint64_t wanted = revision_parameter(request);

    uint64_t revision = store_.revision();
    bool from_cache = false;
    std::string start;
    if (!token.empty()) {
        if (wanted != 0)
            throw ApiError::bad_request("specifying resource version is not allowed when using continue");
        int64_t from;
        decode_continue(token, from, start);
        if (from > static_cast<int64_t>(store_.revision())) // of a store that was restored since
            throw ApiError::internal("etcdserver: mvcc: required revision is a future revision");
        if (from < 0) {
            // An inconsistent token goes on at the newest state; the pages after it are consistent again.
        } else if (static_cast<uint64_t>(from) < store_.compacted()) {
            ApiError error = ApiError::expired(inconsistent_continue);
            error.continue_token = encode_continue(-1, start);
            throw error;
        } else {
            revision = static_cast<uint64_t>(from);
        }
    } else if (request.parameter("resourceVersion") == "0") {
        limit = 0; // answered from the watch cache, which does not page
        from_cache = true;
    } else if (wanted != 0) {
        bool exact = match == "Exact" || (match.empty() && limit != 0);
        if (wanted > store_.revision()) {
            if (exact)
                throw ApiError::internal("etcdserver: mvcc: required revision is a future revision");
            // Paged, it is etcd that answers, at once and without a hint to come back.
            throw ApiError::too_large_resource_version(wanted, store_.revision(), limit == 0);
        }
        if (exact) {
            if (wanted < store_.compacted())
                throw ApiError::expired("The resourceVersion for the provided list is too old.");
            revision = wanted;
        } else if (limit == 0) {
            from_cache = true;
        }
    }

    json list_metadata;
    std::vector<StoredPtr> items =
        revision == store_.revision()
            ? select(target, request, store_.objects(kind), revision, limit, start, list_metadata)
            : select(target, request, store_.objects_at(kind, revision), revision, limit, start, list_metadata);
    for (auto &item : items)
        item = seen_as(kind, item);
    // The watch cache is a hash map: what comes from it has no order.
    if (from_cache)
        std::shuffle(items.begin(), items.end(), random_);
    Response response;
    response.content_type = how.content_type();
    response.body = how.list(kind, items, list_metadata);
    return response;
}

Response Api::watch(const Target &target, const Request &request) {
    auto plan = std::make_shared<WatchPlan>();
    plan->kind = target.kind;
    plan->name_space = target.name_space;
    plan->representation = Representation::negotiate(request.header("accept"));
    plan->labels = LabelSelector(request.parameter("labelSelector"));
    std::string fields = request.parameter("fieldSelector");
    if (!target.name.empty())
        fields = "metadata.name=" + target.name + (fields.empty() ? "" : "," + fields);
    plan->fields = FieldSelector(fields, target.kind->behaviour.field_selectors, target.kind->selects_own_fields());
    plan->bookmarks = request.flag("allowWatchBookmarks");
    plan->from = revision_parameter(request);
    plan->initial_objects = plan->from == 0;

    std::string match = request.parameter("resourceVersionMatch");
    if (options_.watch_list && request.has_parameter("sendInitialEvents")) {
        std::vector<FieldError> errors;
        if (match != "NotOlderThan")
            errors.push_back(FieldError::forbidden(
                "resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"));
        if (!errors.empty())
            invalid_list_options(errors);
        plan->initial_objects = request.flag("sendInitialEvents");
        plan->initial_end_bookmark = plan->initial_objects && plan->bookmarks;
        if (plan->from > store_.revision())
            throw ApiError::too_large_resource_version(plan->from, store_.revision());
    } else if (!match.empty()) {
        // A server without streaming lists; without resourceVersionMatch it ignores sendInitialEvents.
        std::vector<FieldError> errors = {
            FieldError::forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden for watch")};
        if (request.parameter("resourceVersion").empty())
            errors.push_back(FieldError::forbidden(
                "resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"));
        invalid_list_options(errors);
    }

    int64_t timeout = integer_parameter(request, "timeoutSeconds");
    if (timeout <= 0)
        timeout = 1800 + static_cast<int64_t>(random_() % 1800);
    plan->timeout_seconds = static_cast<int>(std::min<int64_t>(timeout, 24 * 3600));
    Response response;
    response.content_type = plan->representation.content_type();
    response.watch = plan;
    return response;
}

} // namespace kubesim
