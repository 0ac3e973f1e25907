// What answers mean: every error a real server was recorded with, and the rules that no recording shows.
#include "kubernetes/error.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fstream>
#include <map>

using namespace dbnet::kubernetes;
using nlohmann::json;

namespace {

Response answer(int status, std::string body) {
    Response response;
    response.status = status;
    response.body = std::move(body);
    return response;
}

Response status_answer(int code, const char *reason, const char *message, const char *details = "null") {
    return answer(code, json{{"kind", "Status"},
                             {"apiVersion", "v1"},
                             {"status", "Failure"},
                             {"reason", reason},
                             {"message", message},
                             {"details", json::parse(details)},
                             {"code", code}}
                            .dump());
}

std::string kind(const Response &response, std::string_view plural = {}) {
    return name(classify(response, plural).kind);
}

// What each recorded error is; every other recorded answer is ok.
const std::map<std::string, Outcome::Kind> recorded = {
    {"SSA other manager, same field other value: conflict", Outcome::conflict},
    {"SSA without fieldManager", Outcome::invalid},
    {"SSA name mismatch", Outcome::conflict},
    {"SSA missing apiVersion", Outcome::invalid},
    {"SSA apply-patch+json", Outcome::invalid},
    {"SSA unknown field Strict", Outcome::schema_500},
    {"SSA wrong type", Outcome::schema_500},
    {"SSA uid of another incarnation", Outcome::conflict},
    {"SSA uid on absent object", Outcome::uid_mismatch},
    {"SSA into missing namespace", Outcome::namespace_missing},
    {"SSA with managedFields", Outcome::invalid},
    {"invalid name", Outcome::invalid},
    {"escaped slash in apply body", Outcome::invalid},
    {"Deployment wrong type replicas", Outcome::schema_500},
    {"Deployment unknown field", Outcome::schema_500},
    {"Deployment immutable selector", Outcome::invalid},
    {"Deployment port out of range", Outcome::invalid},
    {"Deployment duplicate list-map key", Outcome::schema_500},
    {"Deployment negative replicas", Outcome::invalid},
    {"SSA after scale by other: conflict", Outcome::conflict},
    {"merge patch unknown field Strict", Outcome::invalid},
    {"json patch test failure", Outcome::invalid},
    {"get missing", Outcome::not_found},
    {"get missing resource type", Outcome::kind_missing},
    {"get missing group", Outcome::kind_missing},
    {"list continue with resourceVersion", Outcome::invalid},
    {"list bad selector", Outcome::invalid},
    {"list bad field selector", Outcome::invalid},
    {"list future resourceVersion, no limit", Outcome::future_version},
    {"watch sendInitialEvents with resourceVersionMatch", Outcome::invalid},
    {"create existing", Outcome::already_exists},
    {"delete uid mismatch", Outcome::uid_mismatch},
    {"create while terminating", Outcome::being_deleted},
    {"add finalizer while terminating", Outcome::invalid},
    {"delete gone", Outcome::not_found},
    {"replace with stale resourceVersion", Outcome::stale},
    {"no credentials", Outcome::denied},
    {"bad token", Outcome::unauthorized},
    {"method not allowed", Outcome::invalid},
    {"unsupported media type", Outcome::invalid},
    {"not acceptable", Outcome::invalid},
    {"body not JSON", Outcome::invalid},
    {"ConfigMap too large", Outcome::too_large},
    {"Pod spec immutable", Outcome::invalid},
    {"impersonated user without rights", Outcome::denied},
    {"CR apply at once after CRD (race)", Outcome::kind_missing},
    {"CR invalid enum", Outcome::invalid},
    {"CR unknown field Strict", Outcome::schema_500},
    {"CR unknown field, no validation: pruned", Outcome::schema_500},
};

} // namespace

TEST(KubernetesError, RecordedAnswers) {
    std::ifstream file(DBNET_TEST_DATA "/kubesim/transcripts.json");
    ASSERT_TRUE(file) << "test/kubesim/transcripts.json is missing";
    size_t errors = 0;
    for (const json &exchange : json::parse(file)) {
        const std::string title = exchange["title"];
        const json &body = exchange["response"]["body"];
        const std::string text = body.is_string() ? body.get<std::string>() : body.dump();
        const int status = exchange["response"]["status"];
        const Outcome outcome = classify(answer(status, text));
        const auto expected = recorded.find(title);
        if (expected == recorded.end()) {
            EXPECT_EQ(outcome.kind, Outcome::ok) << title << ": " << name(outcome.kind);
            continue;
        }
        ++errors;
        EXPECT_EQ(std::string(name(outcome.kind)), name(expected->second)) << title;
        EXPECT_EQ(outcome.status, status) << title;
        if (body.is_object()) {
            EXPECT_EQ(outcome.message, body["message"]) << title;
            EXPECT_EQ(outcome.reason, body.value("reason", "")) << title;
        } else {
            EXPECT_EQ(outcome.message, "404 page not found") << title;
        }
    }
    EXPECT_EQ(errors, recorded.size());
}

TEST(KubernetesError, ConflictsNameManagerAndField) {
    const Outcome outcome = classify(status_answer(409, "Conflict", "Apply failed with 3 conflicts", R"({"causes": [
        {"reason": "FieldManagerConflict", "message": "conflict with \"hpa\" with subresource \"scale\" using apps/v1",
         "field": ".spec.replicas"},
        {"reason": "FieldManagerConflict", "message": "conflict with \"kubectl \\\"x\\\"\" using v1 at 2026-11-23T08:44:46Z",
         "field": ".metadata.labels.app.kubernetes.io/name"},
        {"reason": "FieldManagerConflict", "message": "conflict with \"m1\"",
         "field": ".spec.template.spec.containers[name=\"c\"].image"}]})"));
    ASSERT_EQ(outcome.kind, Outcome::conflict);
    ASSERT_EQ(outcome.causes.size(), 3u);
    EXPECT_EQ(outcome.causes[0].manager, "hpa");
    EXPECT_EQ(outcome.causes[0].field, "spec.replicas");
    EXPECT_EQ(outcome.causes[1].manager, "kubectl \"x\"");
    EXPECT_EQ(outcome.causes[1].field, "metadata.labels[\"app.kubernetes.io/name\"]");
    EXPECT_EQ(outcome.causes[2].field, "spec.template.spec.containers[name=c].image");
}

TEST(KubernetesError, SchemaErrorsNameTheirField) {
    const Outcome outcome = classify(status_answer(
        500, "",
        "failed to create typed patch object (/web; apps/v1, Kind=Deployment): .spec.replicas: expected numeric"));
    ASSERT_EQ(outcome.kind, Outcome::schema_500);
    ASSERT_EQ(outcome.causes.size(), 1u);
    EXPECT_EQ(outcome.causes[0].field, "spec.replicas");
    EXPECT_EQ(outcome.causes[0].message, "expected numeric");
}

TEST(KubernetesError, FiveHundredsAreToldApart) {
    EXPECT_EQ(kind(status_answer(500, "InternalError", "Internal error occurred: failed calling webhook")), "retry");
    EXPECT_EQ(kind(status_answer(500, "", "etcdserver: mvcc: required revision is a future revision")),
              "future_version");
    EXPECT_EQ(kind(status_answer(500, "", "etcdserver: leader changed")), "retry");
    EXPECT_EQ(kind(status_answer(500, "", "etcdserver: request is too large")), "too_large");
    EXPECT_EQ(kind(status_answer(500, "",
                                 "rpc error: code = ResourceExhausted desc = trying to send message larger than "
                                 "max (2100412 vs. 2097152)")),
              "too_large");
    EXPECT_EQ(kind(status_answer(500, "", "etcdserver: request timed out")), "retry");
    EXPECT_EQ(kind(answer(500, "requested [{UID  1}] without impersonating a user")), "schema_500");
    Response asked_to_wait = status_answer(500, "", "odd");
    asked_to_wait.retry_after = 2;
    EXPECT_EQ(kind(asked_to_wait), "retry");
    EXPECT_EQ(classify(asked_to_wait).retry_after_ms, 2000);
    EXPECT_EQ(kind(answer(503, "apiserver is shutting down\n")), "retry");
    EXPECT_EQ(classify(answer(503, "apiserver is shutting down\n")).message, "apiserver is shutting down");
    EXPECT_EQ(classify(answer(503, "")).message, "HTTP status 503 without an explanation");
}

TEST(KubernetesError, TimeoutsOfWritesAreAmbiguous) {
    // As on a stalled store: JSON without a kind, sent as text.
    Response response =
        answer(504, R"({"metadata":{},"status":"Failure","message":"Timeout: request did not complete",)"
                    R"("reason":"Timeout","details":{},"code":504})");
    EXPECT_EQ(kind(response), "retry");
    response.ambiguous = true;
    EXPECT_EQ(kind(response), "ambiguous");
    EXPECT_EQ(classify(response).message, "Timeout: request did not complete");
    EXPECT_EQ(classify(response).reason, "Timeout");
}

TEST(KubernetesError, VersionsTooNewAndTooOld) {
    EXPECT_EQ(kind(status_answer(
                  504, "Timeout", "Too large resource version: 99, current: 12",
                  R"({"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
                                     "retryAfterSeconds": 1})")),
              "future_version");
    const Outcome expired = classify(answer(
        410, R"({"kind":"Status","metadata":{"continue":"abc"},"message":"expired","reason":"Expired","code":410})"));
    EXPECT_EQ(expired.kind, Outcome::gone);
    EXPECT_EQ(expired.continue_token, "abc");
    EXPECT_EQ(classify_status(json::parse(R"({"kind":"Status","message":"too old","reason":"Gone","code":410})")).kind,
              Outcome::gone);
}

TEST(KubernetesError, OverloadIsNotPolicy) {
    Response throttled = answer(429, "Too many requests, please try again later.\n");
    throttled.retry_after = 1;
    EXPECT_EQ(kind(throttled), "retry");
    EXPECT_EQ(classify(throttled).retry_after_ms, 1000);
    const Response budget =
        status_answer(429, "TooManyRequests", "Cannot evict pod as it would violate the pod's disruption budget.",
                      R"({"causes": [{"reason": "DisruptionBudget", "message": "needs 2"}], "retryAfterSeconds": 10})");
    EXPECT_EQ(kind(budget), "disruption_budget");
    EXPECT_EQ(classify(budget).retry_after_ms, 10'000);
}

TEST(KubernetesError, ConflictsHaveFourMeanings) {
    EXPECT_EQ(
        kind(status_answer(409, "Conflict",
                           "Operation cannot be fulfilled on configmaps \"a\": StorageError: invalid object, Code: 4, "
                           "AdditionalErrorMsg: Precondition failed: UID in precondition: 1, UID in object meta: 2")),
        "uid_mismatch");
    EXPECT_EQ(kind(status_answer(
                  409, "Conflict",
                  "Operation cannot be fulfilled on namespaces \"a\": The system is ensuring all content is "
                  "removed from this namespace.  Upon completion, this namespace will automatically be purged")),
              "being_deleted");
    const Response quota = status_answer(
        409, "Conflict", "Operation cannot be fulfilled on resourcequotas \"q\": the object has been modified",
        R"({"name": "q", "kind": "resourcequotas"})");
    EXPECT_EQ(kind(quota, "pods"), "retry");
    EXPECT_EQ(kind(quota, "resourcequotas"), "stale");
    EXPECT_EQ(kind(status_answer(422, "Invalid",
                                 "ConfigMap \"a\" is invalid: metadata.uid: Invalid value: field is immutable",
                                 R"({"causes": [{"reason": "FieldValueInvalid", "field": "metadata.uid"}]})")),
              "uid_mismatch");
}

TEST(KubernetesError, NamespacesAreToldFromTheirObjects) {
    const Response missing =
        status_answer(404, "NotFound", "namespaces \"a\" not found", R"({"name": "a", "kind": "namespaces"})");
    EXPECT_EQ(kind(missing, "configmaps"), "namespace_missing");
    EXPECT_EQ(kind(missing, "namespaces"), "not_found");
    EXPECT_EQ(kind(status_answer(403, "Forbidden",
                                 "unable to create new content in namespace a because it is being terminated",
                                 R"({"causes": [{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]})")),
              "namespace_terminating");
    EXPECT_EQ(kind(status_answer(403, "Forbidden", "exceeded quota: q")), "denied");
}

TEST(KubernetesError, NoAnswer) {
    Response response;
    response.transport_error = "https://10.0.0.1:6443: Connection refused";
    EXPECT_EQ(kind(response), "unavailable");
    EXPECT_EQ(classify(response).message, response.transport_error);
    EXPECT_EQ(classify(response).reason, "ConnectionFailed");
    response.ambiguous = response.timed_out = true;
    EXPECT_EQ(kind(response), "ambiguous");
    EXPECT_EQ(classify(response).reason, "Timeout");
}

TEST(KubernetesError, OddBodiesDoNoHarm) {
    EXPECT_EQ(kind(answer(302, "<html>")), "unavailable");
    EXPECT_EQ(classify(answer(500, std::string(5000, 'x'))).message.size(), 4096 + std::string("...").size());
    EXPECT_EQ(kind(answer(404, R"({"message": 5, "details": [], "code": "x"})")), "kind_missing");
    EXPECT_EQ(kind(answer(409, R"({"message": "m", "details": {"causes": [null, 5, {"reason": 3}]}})")), "stale");
    EXPECT_EQ(
        classify(answer(429, R"({"message": "m", "details": {"retryAfterSeconds": 99999999999}})")).retry_after_ms,
        3'600'000);
    EXPECT_EQ(classify(answer(429, R"({"message": "m", "details": {"retryAfterSeconds": 18446744073709551615}})"))
                  .retry_after_ms,
              -1);
    EXPECT_EQ(classify_status(json()).kind, Outcome::unavailable);
}

TEST(KubernetesError, PermanentKinds) {
    for (const Outcome::Kind permanent : {Outcome::invalid, Outcome::denied, Outcome::conflict, Outcome::too_large})
        EXPECT_TRUE(is_permanent(permanent));
    for (const Outcome::Kind passing :
         {Outcome::retry, Outcome::unavailable, Outcome::ambiguous, Outcome::schema_500, Outcome::unauthorized})
        EXPECT_FALSE(is_permanent(passing));
}

TEST(KubernetesError, ChangesOfFieldsThatAreSetOnce) {
    const auto refused = [](const char *causes, int code = 422, const char *reason = "Invalid") {
        return is_immutable(classify(status_answer(code, reason, "m", causes)));
    };
    for (const char *words :
         {"field is immutable", "field is immutable when `immutable` is set", "may not change once set",
          "pod updates may not change fields other than `spec.containers[*].image`", "Value is immutable",
          "updates to statefulset spec for fields other than 'replicas' are forbidden",
          "spec is immutable after creation except resources.requests for bound claims", "cannot change roleRef",
          "may not be changed in an update."})
        for (const char *reason : {"FieldValueInvalid", "FieldValueForbidden"})
            EXPECT_TRUE(
                refused(json{{"causes", {{{"reason", reason}, {"field", "spec"}, {"message", words}}}}}.dump().c_str()))
                << words;
    EXPECT_FALSE(refused(R"({"causes": [{"reason": "FieldValueInvalid", "field": "a", "message": "field is immutable"},
                                        {"reason": "FieldValueInvalid", "field": "b", "message": "must be positive"}]})"))
        << "a new object would be refused as well";
    EXPECT_FALSE(refused(R"({"causes": []})")) << "nobody knows what is wrong";
    EXPECT_FALSE(refused(R"({"causes": [{"reason": "FieldValueRequired", "message": "field is immutable"}]})"));
    EXPECT_FALSE(
        refused(R"({"causes": [{"reason": "FieldValueInvalid", "message": "field is immutable"}]})", 403, "Forbidden"));
}
