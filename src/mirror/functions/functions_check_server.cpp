// dbnet.check_server(): asks one API server everything that must be right for mirrors to work, and says what is not, in
// the server's words. Runs in backends.
#include "kubernetes/api.hpp"
#include "kubernetes/lease.hpp"
#include "mirror/functions/as_extension.hpp"
#include "mirror/functions/row_writer.hpp"
#include "mirror/server/client_session.hpp"
#include "mirror/server/server_connection.hpp"

#include <array>

#include <nlohmann/json.hpp>

namespace dbnet::mirror {
namespace {

using Json = nlohmann::json;
using kubernetes::Outcome;
using kubernetes::Request;
using kubernetes::Response;

constexpr const char *ok = "ok", *failed = "failed", *unknown = "unknown";

const pg::Statement find_lease{"SELECT dbnet.lease_namespace($1::name)"};
const pg::Statement find_rights{
    "SELECT 'rights of ' || relation::text, api_group, resource, subresource, namespace, verb, ''"
    " FROM dbnet.cluster_rights($1::pg_catalog.name)"};
const pg::Statement find_impersonated{
    "SELECT 'rights to act as ' || role::text, api_group, resource, subresource, namespace, 'impersonate', name"
    " FROM dbnet.impersonated($1::pg_catalog.name)"};

std::string text_at(const Json &document, const char *pointer) {
    const Json *value = nullptr;
    const Json::json_pointer where(pointer);
    if (document.contains(where))
        value = &document[where];
    return value && value->is_string() ? value->get<std::string>() : std::string();
}

void add_failure(RowWriter &rows, const std::string &item, const Outcome &outcome) {
    const std::string hint = hint_for(outcome);
    rows.add({item, failed, outcome.message, hint.empty() ? RowWriter::Value() : hint});
}

// "deploy-bot (system:serviceaccounts, system:authenticated)"
std::string describe_user(const Json &review) {
    std::string description = text_at(review, "/status/userInfo/username");
    const Json::json_pointer groups("/status/userInfo/groups");
    if (description.empty() || !review.contains(groups) || !review[groups].is_array())
        return description;
    std::string list;
    for (const Json &group : review[groups])
        if (group.is_string())
            list += (list.empty() ? "" : ", ") + group.get<std::string>();
    return list.empty() ? description : description + " (" + list + ")";
}

// … is forbidden: User "deploy-bot" cannot create resource …
std::string refused_user(const std::string &message) {
    constexpr std::string_view before = "User \"", after = "\" cannot ";
    const size_t start = message.find(before);
    const size_t end = message.find(after);
    if (start == std::string::npos || end == std::string::npos || end < start + before.size())
        return {};
    return message.substr(start + before.size(), end - start - before.size());
}

// SelfSubjectReview came with 1.26 and changed its version twice.
void check_identity(ClientSession &session, RowWriter &rows) {
    for (const char *version : {"v1", "v1beta1", "v1alpha1"}) {
        Request request;
        request.method = "POST";
        request.path = std::string("/apis/authentication.k8s.io/") + version + "/selfsubjectreviews";
        request.content_type = "application/json";
        request.body =
            std::string(R"({"apiVersion":"authentication.k8s.io/)") + version + R"(","kind":"SelfSubjectReview"})";
        request.idempotent = true; // nothing is stored
        const Response response = session.ask(std::move(request));
        const Outcome outcome = kubernetes::classify(response);
        if (outcome.status == 404)
            continue;
        // Older servers let nobody ask unless told to, but say whom they refuse.
        if (const std::string user = outcome.kind == Outcome::denied ? refused_user(outcome.message) : "";
            !user.empty())
            return rows.add({"identity", ok, user, std::nullopt});
        if (!outcome)
            return add_failure(rows, "identity", outcome);
        const Json review = Json::parse(response.body, nullptr, false);
        const std::string user = review.is_discarded() ? "" : describe_user(review);
        return rows.add(
            {"identity", user.empty() ? unknown : ok, user.empty() ? "the answer names no user" : user, std::nullopt});
    }
    rows.add({"identity", unknown, "the server does not tell (SelfSubjectReview is served since Kubernetes 1.28)",
              std::nullopt});
}

// Rights to one resource and its subresources, in order, as text: "get, list, watch nodes, patch nodes/status".
class RightsText {
public:
    void add(const std::string &resource, std::string_view verb) {
        if (resource == last_) {
            text_.insert(text_.size() - last_.size() - 1, ", " + std::string(verb));
            return;
        }
        text_ += (text_.empty() ? "" : ", ") + std::string(verb) + " " + resource;
        last_ = resource;
    }
    bool is_empty() const { return text_.empty(); }
    std::string in(std::string_view name_space) const {
        return text_ + (name_space.empty() ? "" : " in namespace " + std::string(name_space));
    }

private:
    std::string text_, last_;
};

// Those of one item in one namespace, which are the rows [first, end).
void check_rights_of(ClientSession &session, const pg::Result &rights, size_t first, size_t end, RowWriter &rows) {
    const auto resource_of = [&](size_t row) {
        const std::string group(rights.text(row, 1)), subresource(rights.text(row, 3)), name(rights.text(row, 6));
        return std::string(rights.text(row, 2)) + (group.empty() ? "" : "." + group) +
               (subresource.empty() ? "" : "/" + subresource) + (name.empty() ? "" : " \"" + name + '"');
    };
    const std::string_view name_space = rights.text(first, 4);
    std::vector<Request> requests;
    for (size_t row = first; row < end; row++) {
        // Neither version nor kind is asked for.
        const kubernetes::Resource resource{std::string(rights.text(row, 1)), "", "", std::string(rights.text(row, 2)),
                                            !name_space.empty()};
        requests.push_back(kubernetes::access_review_request(resource, name_space, rights.text(row, 5),
                                                             rights.text(row, 3), rights.text(row, 6)));
    }
    const std::vector<Response> responses = session.ask_all(std::move(requests));
    const std::string item(rights.text(first, 0));
    RightsText allowed, missing;
    std::string reason;
    for (size_t row = first; row < end; row++) {
        const Response &response = responses[row - first];
        const Outcome outcome = kubernetes::classify(response);
        if (outcome.status == 404)
            return rows.add({item, unknown, "the server does not tell (no SelfSubjectAccessReview)", std::nullopt});
        if (!outcome)
            return add_failure(rows, item, outcome);
        const Json review = Json::parse(response.body, nullptr, false);
        const Json::json_pointer verdict("/status/allowed");
        const bool is_allowed = review.is_object() && review.contains(verdict) && review[verdict] == true;
        (is_allowed ? allowed : missing).add(resource_of(row), rights.text(row, 5));
        if (!is_allowed && reason.empty() && review.is_object())
            reason = text_at(review, "/status/reason");
    }
    if (missing.is_empty())
        return rows.add({item, ok, allowed.in(name_space), std::nullopt});
    rows.add({item, failed, "may not " + missing.in(name_space) + (reason.empty() ? "" : ": " + reason),
              "Grant it in the cluster: dbnet.rbac() prints, for kubectl, what the mirrors of the server need."});
}

// False: none are needed.
bool check_rights(ClientSession &session, const std::string &server, const pg::Statement &find, RowWriter &rows) {
    const pg::Result rights = pg::in_spi([&] { return as_extension([&] { return pg::execute(find, server); }); });
    for (size_t first = 0, end = 0; first < rights.rows(); first = end) {
        while (end < rights.rows() && rights.text(end, 0) == rights.text(first, 0) &&
               rights.text(end, 4) == rights.text(first, 4))
            ++end;
        check_rights_of(session, rights, first, end, rows);
    }
    return rights.rows() > 0;
}

// By which of several servers that run this database one writes. Without it all goes on, unprotected.
void check_lease(ClientSession &session, const std::string &server, RowWriter &rows) {
    const std::string name_space = pg::in_spi(
        [&] { return as_extension([&] { return std::string(pg::execute(find_lease, server).text(0, 0)); }); });
    if (name_space.empty())
        return rows.add({"lease", unknown, "none: option lease of the server is off",
                         "A clone of this database would write to the cluster as well."});
    std::string missing;
    for (const char *verb : {"get", "create", "update"}) {
        const Response response =
            session.ask(kubernetes::access_review_request(kubernetes::lease_resource(), name_space, verb));
        const Outcome outcome = kubernetes::classify(response);
        if (!outcome)
            return rows.add({"lease", unknown, outcome.message, std::nullopt});
        const Json review = Json::parse(response.body, nullptr, false);
        const Json::json_pointer verdict("/status/allowed");
        if (!(review.is_object() && review.contains(verdict) && review[verdict] == true))
            missing += (missing.empty() ? "" : ", ") + std::string(verb);
    }
    if (missing.empty())
        return rows.add({"lease", ok, "get, create, update leases in namespace " + name_space, std::nullopt});
    rows.add(
        {"lease", failed,
         "may not " + missing + " leases in namespace " + name_space +
             ": a clone of this database would write to the cluster as well",
         "Grant it in the cluster, or name another namespace: ALTER SERVER ... OPTIONS (ADD lease_namespace '...')."});
}

std::string milliseconds(double seconds) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.1f ms", seconds * 1000);
    return text.data();
}

} // namespace

DBNET_FUNCTION(dbnet_check_server) {
    RowWriter rows(fcinfo);
    const std::string server = NameStr(*PG_GETARG_NAME(0));
    if (pg::in_spi([&] { return as_extension([&] { return is_offline(server); }); })) {
        rows.add({"endpoint", ok, offline_message(server) + ": DBNet never connects to it and sends it nothing",
                  "ALTER SERVER ... OPTIONS (SET offline 'false'), with an api_url or kubeconfig, connects it."});
        return Datum{0};
    }
    ClientSession session = open_session(server, GetUserId());
    const kubernetes::Connection &connection = session.connection();
    rows.add({"endpoint", ok,
              connection.api_url +
                  (connection.proxy_url.empty() ? "" : " through " + kubernetes::shown_proxy_url(connection)),
              connection.insecure_skip_tls_verify
                  ? RowWriter::Value("The server's certificate is not verified (insecure_skip_tls_verify).")
                  : std::nullopt});
    const Response first = session.ask(kubernetes::path_request("/version"));
    const Outcome reached = kubernetes::classify(first);
    if (!reached) {
        add_failure(rows, "connection", reached);
        return Datum{0};
    }
    // Again on the open connection: the first answer's time holds the TLS handshake too.
    const Response second = session.ask(kubernetes::path_request("/version"));
    rows.add({"connection", ok,
              "round trip " + milliseconds(second.seconds) + ", first answer after " + milliseconds(first.seconds),
              std::nullopt});
    const Json version = Json::parse(first.body, nullptr, false);
    const std::string name = version.is_object() ? text_at(version, "/gitVersion") : "";
    rows.add(
        {"version", name.empty() ? unknown : ok, name.empty() ? "the answer names no version" : name, std::nullopt});
    check_identity(session, rows);
    const bool has_mirrors = check_rights(session, server, find_rights, rows);
    check_rights(session, server, find_impersonated, rows);
    check_lease(session, server, rows);
    if (!has_mirrors)
        rows.add(
            {"rights", unknown, "no mirror uses the server yet", "Call dbnet.check_server again after dbnet.mirror."});
    return Datum{0};
}

} // namespace dbnet::mirror
