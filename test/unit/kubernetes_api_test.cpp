// Requests as they go out: paths, queries, bodies, and JSON that a YAML reader takes for the same JSON.
#include "kubernetes/api.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

using namespace dbnet::kubernetes;
using nlohmann::json;

namespace {

const Resource config_map{"", "v1", "ConfigMap", "configmaps", true};
const Resource node{"", "v1", "Node", "nodes", false};
const Resource deployment{"apps", "v1", "Deployment", "deployments", true};

std::string utf8(unsigned code_point) {
    if (code_point < 0x80)
        return {static_cast<char>(code_point)};
    if (code_point < 0x800)
        return {static_cast<char>(0xC0 | code_point >> 6), static_cast<char>(0x80 | (code_point & 0x3F))};
    if (code_point < 0x10000)
        return {static_cast<char>(0xE0 | code_point >> 12), static_cast<char>(0x80 | (code_point >> 6 & 0x3F)),
                static_cast<char>(0x80 | (code_point & 0x3F))};
    return {static_cast<char>(0xF0 | code_point >> 18), static_cast<char>(0x80 | (code_point >> 12 & 0x3F)),
            static_cast<char>(0x80 | (code_point >> 6 & 0x3F)), static_cast<char>(0x80 | (code_point & 0x3F))};
}

} // namespace

TEST(KubernetesApi, ApiVersions) {
    EXPECT_EQ(split_api_version("v1"), std::pair(std::string(), std::string("v1")));
    EXPECT_EQ(split_api_version("apps/v1"), std::pair(std::string("apps"), std::string("v1")));
    for (const char *text : {"", "/", "apps/", "/v1", "a/b/c"})
        EXPECT_THROW(split_api_version(text), Failure) << text;
    EXPECT_EQ(deployment.api_version(), "apps/v1");
    EXPECT_EQ(node.api_version(), "v1");
}

TEST(KubernetesApi, Paths) {
    EXPECT_EQ(resource_path(config_map, "net", "c 1"), "/api/v1/namespaces/net/configmaps/c%201");
    EXPECT_EQ(resource_path(config_map, ""), "/api/v1/configmaps");
    EXPECT_EQ(resource_path(node, "ignored", "n1"), "/api/v1/nodes/n1");
    EXPECT_EQ(resource_path(deployment, "net", "web", "scale"), "/apis/apps/v1/namespaces/net/deployments/web/scale");
    EXPECT_EQ(percent_encode("a/b?c=d&e~f-g_h.i ä"), "a%2Fb%3Fc%3Dd%26e~f-g_h.i%20%C3%A4");
}

TEST(KubernetesApi, Apply) {
    const Request request = apply_request(node, "", "n1", "dbnet-5f", true, json{{"kind", "Node"}});
    EXPECT_EQ(request.method, "PATCH");
    EXPECT_EQ(request.path, "/api/v1/nodes/n1");
    EXPECT_EQ(request.query, "fieldManager=dbnet-5f&force=true&fieldValidation=Strict");
    EXPECT_EQ(request.content_type, "application/apply-patch+yaml");
    EXPECT_EQ(request.body, R"({"kind":"Node"})");
    EXPECT_TRUE(request.idempotent);
    EXPECT_EQ(apply_request(node, "", "n1", "m", false, {}, true).query,
              "fieldManager=m&force=false&fieldValidation=Strict&dryRun=All");
}

TEST(KubernetesApi, RehearsalOfACreate) {
    const Request request = create_request(config_map, "net", "dbnet-5f", json{{"kind", "ConfigMap"}}, true);
    EXPECT_EQ(request.method, "POST");
    EXPECT_EQ(request.path, "/api/v1/namespaces/net/configmaps");
    EXPECT_EQ(request.query, "fieldManager=dbnet-5f&fieldValidation=Strict&dryRun=All");
    EXPECT_EQ(request.content_type, "application/json");
    EXPECT_EQ(request.body, R"({"kind":"ConfigMap"})");
}

TEST(KubernetesApi, ApplyBodyHoldsTheGivenFieldsOnly) {
    const json body = apply_body(deployment, "net", "web", "",
                                 {{FieldPath::parse("spec.template.spec.containers[name=app].image"), "nginx:2"},
                                  {FieldPath::parse("spec"), json{{"replicas", 1}, {"paused", true}}},
                                  {FieldPath::parse("spec.replicas"), 5},
                                  {FieldPath::parse("metadata.labels[\"a/b\"]"), "c"}},
                                 {{"dbnet.io/stamp", "1/2/3/4"}});
    EXPECT_EQ(
        body,
        json::parse(R"({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "net",
        "labels": {"a/b": "c"}, "annotations": {"dbnet.io/stamp": "1/2/3/4"}}, "spec": {"replicas": 5, "paused": true,
        "template": {"spec": {"containers": [{"name": "app", "image": "nginx:2"}]}}}})"));
    EXPECT_EQ(apply_body(node, "", "n1", "uid-1", {}, {}),
              json::parse(R"({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "uid": "uid-1"}})"));
}

TEST(KubernetesApi, Remove) {
    const Request request = remove_request(config_map, "net", "c1", "uid-1");
    EXPECT_EQ(request.method, "DELETE");
    EXPECT_EQ(request.query, "");
    EXPECT_EQ(json::parse(request.body), json::parse(R"({"apiVersion": "v1", "kind": "DeleteOptions",
        "propagationPolicy": "Background", "preconditions": {"uid": "uid-1"}})"));
    EXPECT_TRUE(request.idempotent);
    const Request unguarded = remove_request(config_map, "net", "c1", "");
    EXPECT_FALSE(unguarded.idempotent);
    EXPECT_FALSE(json::parse(unguarded.body).contains("preconditions"));
}

TEST(KubernetesApi, Lists) {
    EXPECT_EQ(list_request(node, "", {}).query, "");
    ListOptions options;
    options.limit = 500;
    options.label_selector = "app=web,tier in (a,b)";
    options.resource_version = "7";
    EXPECT_EQ(list_request(node, "", options).query,
              "limit=500&resourceVersion=7&labelSelector=app%3Dweb%2Ctier%20in%20%28a%2Cb%29");
    options.continue_token = "eyJ2=";
    EXPECT_EQ(list_request(node, "", options).query.find("resourceVersion"), std::string::npos);
    EXPECT_NE(list_request(node, "", options).query.find("continue=eyJ2%3D"), std::string::npos);
    EXPECT_TRUE(list_request(node, "", options).compressed);
    options.metadata_only = true;
    EXPECT_EQ(list_request(node, "", options).accept,
              "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json");
}

TEST(KubernetesApi, WatchesLastFiveToTenMinutes) {
    EXPECT_EQ(watch_request(config_map, "net", "12", "", 0).query,
              "watch=true&allowWatchBookmarks=true&timeoutSeconds=300&resourceVersion=12");
    EXPECT_EQ(watch_request(config_map, "net", "12", "a=b", 0.5).query,
              "watch=true&allowWatchBookmarks=true&timeoutSeconds=450&resourceVersion=12&labelSelector=a%3Db");
    EXPECT_EQ(watch_request(config_map, "net", "12", "", 0.5).timeout, std::chrono::seconds(450));
    EXPECT_EQ(watch_request(config_map, "net", "12", "", 17).timeout, std::chrono::seconds(600));
}

TEST(KubernetesApi, OtherRequests) {
    EXPECT_EQ(probe_version_request(node, "").query, "fieldSelector=metadata.name%3D-");
    EXPECT_EQ(probe_version_request(node, "").path, "/api/v1/nodes");
    EXPECT_EQ(probe_version_request(config_map, "net").path, "/api/v1/namespaces/net/configmaps");
    EXPECT_EQ(probe_version_request(config_map, "").path, "/api/v1/namespaces/default/configmaps")
        << "one name of one namespace, not all objects of all";
    const Request patch = merge_patch_request(node, "", "n1", "m", json{{"spec", {{"unschedulable", true}}}}, "status");
    EXPECT_EQ(patch.path, "/api/v1/nodes/n1/status");
    EXPECT_EQ(patch.content_type, "application/merge-patch+json");
    EXPECT_EQ(patch.body, R"({"spec":{"unschedulable":true}})");
    const Request document = path_request("/openapi/v3/apis/apps/v1?hash=AB");
    EXPECT_EQ(document.path + "|" + document.query, "/openapi/v3/apis/apps/v1|hash=AB");
    const json review = json::parse(access_review_request(deployment, "net", "patch").body);
    EXPECT_EQ(review["spec"]["resourceAttributes"],
              (json{{"group", "apps"}, {"resource", "deployments"}, {"verb", "patch"}, {"namespace", "net"}}));
    const json scale = json::parse(access_review_request(deployment, "", "patch", "scale").body);
    EXPECT_EQ(scale["spec"]["resourceAttributes"],
              (json{{"group", "apps"}, {"resource", "deployments"}, {"verb", "patch"}, {"subresource", "scale"}}));
    const json act = json::parse(
        access_review_request({"", "", "", "users", false}, "", "impersonate", "", "alice@example.com").body);
    EXPECT_EQ(act["spec"]["resourceAttributes"],
              (json{{"group", ""}, {"resource", "users"}, {"verb", "impersonate"}, {"name", "alice@example.com"}}));
}

TEST(KubernetesApi, ReadsAnswersToWrites) {
    EXPECT_TRUE(is_terminating(json::parse(R"({"metadata": {"deletionTimestamp": "2026-11-23T08:44:52Z"}})")));
    EXPECT_FALSE(is_terminating(json::parse(R"({"metadata": {"deletionTimestamp": null}})")));
    EXPECT_FALSE(is_terminating(json::parse("[]")));
    EXPECT_TRUE(is_gone(json::parse(R"({"kind": "Status", "status": "Success"})")));
    EXPECT_FALSE(is_gone(json::parse(R"({"kind": "ConfigMap"})")));
    EXPECT_FALSE(is_gone(json()));
}

TEST(KubernetesYamlSafeDump, EscapesExactlyWhatYamlChanges) {
    for (unsigned code_point = 1; code_point < 0x10000; ++code_point) {
        if (code_point >= 0xD800 && code_point <= 0xDFFF)
            continue;
        const std::string character = utf8(code_point);
        const std::string dumped = yaml_safe_dump(json("x" + character + "y"));
        ASSERT_EQ(json::parse(dumped), json("x" + character + "y")) << code_point;
        const bool must_escape = (code_point >= 0x7F && code_point <= 0x9F) || code_point == 0x2028 ||
                                 code_point == 0x2029 || code_point == 0xFEFF || code_point >= 0xFFFE;
        if (must_escape) {
            char expected[16];
            snprintf(expected, sizeof expected, "\"x\\u%04xy\"", code_point);
            ASSERT_EQ(dumped, expected);
        } else if (code_point >= 0x20 && character != "\"" && character != "\\") {
            ASSERT_EQ(dumped, "\"x" + character + "y\"") << code_point;
        }
        ASSERT_EQ(dumped.find("\\/"), std::string::npos);
    }
}

TEST(KubernetesYamlSafeDump, LeavesAstralCharactersAndSlashes) {
    EXPECT_EQ(yaml_safe_dump(json("\U0001F600/\U0010FFFF")), "\"\U0001F600/\U0010FFFF\"");
    EXPECT_EQ(yaml_safe_dump(json{{"k\u0085", {1, "\u2028"}}}), R"({"k\u0085":[1,"\u2028"]})");
}

TEST(KubernetesYamlSafeDump, RefusesWhatTheServerCannotRead) {
    EXPECT_THROW(yaml_safe_dump(json("\xff")), Failure);
    EXPECT_NO_THROW(yaml_safe_dump(json{{std::string(1022, 'k'), 1}}));
    EXPECT_THROW(yaml_safe_dump(json{{std::string(1023, 'k'), 1}}), Failure);
    std::string wide;
    for (int i = 0; i < 600; ++i)
        wide += "ä"; // 1200 bytes, but 600 characters
    EXPECT_NO_THROW(yaml_safe_dump(json{{"outer", json::array({json{{wide, 1}}})}}));
    EXPECT_THROW(yaml_safe_dump(json{{"outer", json::array({json{{wide + wide, 1}}})}}), Failure);
}
