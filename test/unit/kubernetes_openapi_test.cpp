// What a schema says about a field, on documents shaped like those of a real server.
#include "kubernetes/schema/openapi.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

using namespace dbnet::kubernetes;
using Type = FieldSchema::Type;
using ListType = FieldSchema::ListType;

namespace {

const char *const document = R"x({"openapi": "3.0.0", "components": {"schemas": {
  "io.k8s.api.apps.v1.Deployment": {"type": "object", "x-kubernetes-group-version-kind": [{"group": "apps", "kind": "Deployment", "version": "v1"}],
    "properties": {
      "apiVersion": {"type": "string"},
      "metadata": {"description": "Standard metadata.", "default": {}, "allOf": [{"$ref": "#/components/schemas/meta.ObjectMeta"}]},
      "spec": {"allOf": [{"$ref": "#/components/schemas/DeploymentSpec"}]},
      "status": {"type": "object", "properties": {"conditions": {"type": "array", "x-kubernetes-patch-merge-key": "type",
          "x-kubernetes-patch-strategy": "merge", "items": {"$ref": "#/components/schemas/Condition"}}}}}},
  "meta.ObjectMeta": {"type": "object", "properties": {
      "labels": {"type": "object", "additionalProperties": {"type": "string", "default": ""}},
      "uid": {"type": "string", "description": "Populated by the system. Read-only."},
      "finalizers": {"type": "array", "items": {"type": "string"}, "x-kubernetes-patch-strategy": "merge"},
      "creationTimestamp": {"allOf": [{"$ref": "#/components/schemas/meta.Time"}]}}},
  "meta.Time": {"type": "string", "format": "date-time"},
  "Condition": {"type": "object", "required": ["type"], "properties": {"type": {"type": "string"}, "status": {"type": "string"}}},
  "DeploymentSpec": {"type": "object", "required": ["selector"], "properties": {
      "replicas": {"description": "Number of pods.", "type": "integer", "format": "int32"},
      "paused": {"type": "boolean"},
      "selector": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"matchLabels": {"type": "object",
          "additionalProperties": {"type": "string"}}}},
      "strategy": {"type": "string", "enum": ["Recreate", "RollingUpdate"]},
      "maxSurge": {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.util.intstr.IntOrString"},
      "limits": {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.api.resource.Quantity"}},
      "containers": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
          "items": {"default": {}, "allOf": [{"$ref": "#/components/schemas/Container"}]}},
      "args": {"type": "array", "items": {"type": "string"}},
      "tolerations": {"type": "array", "x-kubernetes-list-type": "atomic", "items": {"type": "object",
          "properties": {"key": {"type": "string"}}}},
      "loop": {"allOf": [{"$ref": "#/components/schemas/Loop"}]},
      "lost": {"$ref": "#/components/schemas/Nowhere"}}},
  "Container": {"type": "object", "properties": {"name": {"type": "string"}, "image": {"type": "string"},
      "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["containerPort", "protocol"],
          "items": {"type": "object", "properties": {"containerPort": {"type": "integer", "minimum": 1, "maximum": 65535},
              "protocol": {"type": "string"}, "hostPort": {"type": "integer"}}}}}},
  "Loop": {"allOf": [{"$ref": "#/components/schemas/Loop"}], "properties": {"next": {"$ref": "#/components/schemas/Loop"}}},
  "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
  "io.k8s.apimachinery.pkg.api.resource.Quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
  "Router": {"type": "object", "x-kubernetes-group-version-kind": [{"group": "net.example.com", "kind": "Router", "version": "v1"}],
    "properties": {"spec": {"type": "object", "properties": {
        "asn": {"type": "integer", "format": "int64", "minimum": 1},
        "memory": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": "^(\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))))?$"},
        "port": {"x-kubernetes-int-or-string": true},
        "note": {"type": "string", "nullable": true},
        "anything": {"x-kubernetes-preserve-unknown-fields": true}}},
      "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}}})x";

FieldSchema field(std::string_view path, std::string_view group = "apps", std::string_view kind = "Deployment") {
    return OpenApiDocument::parse(document).schema(group, "v1", kind).at(FieldPath::parse(path));
}

FieldSchema router(std::string_view path) {
    return field(path, "net.example.com", "Router");
}

std::string path_error(std::string_view path) {
    try {
        field(path);
    } catch (const Failure &failure) {
        return std::string(failure.what()) + " | " + failure.hint();
    }
    return "found";
}

} // namespace

TEST(KubernetesOpenApi, PlainTypes) {
    EXPECT_EQ(field("spec.replicas").type, Type::integer);
    EXPECT_EQ(field("spec.replicas").format, "int32");
    EXPECT_EQ(field("spec.replicas").description, "Number of pods.");
    EXPECT_FALSE(field("spec.replicas").required);
    EXPECT_TRUE(field("spec.selector").required);
    EXPECT_EQ(field("spec.paused").type, Type::boolean);
    EXPECT_EQ(field("spec.strategy").enumeration, (std::vector<std::string>{"Recreate", "RollingUpdate"}));
    EXPECT_EQ(field("metadata").description, "Standard metadata.");
    EXPECT_EQ(field("metadata.creationTimestamp").format, "date-time");
    EXPECT_TRUE(field("metadata.uid").read_only);
    EXPECT_EQ(field("spec").type, Type::object);
}

TEST(KubernetesOpenApi, ValueTypes) {
    EXPECT_EQ(field("spec.maxSurge").type, Type::int_or_string);
    EXPECT_EQ(field("spec.limits.cpu").type, Type::quantity);
    EXPECT_EQ(router("spec.memory").type, Type::quantity);
    EXPECT_EQ(router("spec.port").type, Type::int_or_string);
    EXPECT_TRUE(router("spec.note").nullable);
    EXPECT_EQ(router("spec.asn").minimum, 1.0);
    EXPECT_EQ(field("spec.containers[name=a].ports[containerPort=80,protocol=TCP].containerPort").maximum, 65535.0);
}

TEST(KubernetesOpenApi, OpenMapsAndUnknownFields) {
    EXPECT_TRUE(field("metadata.labels").open_map);
    EXPECT_EQ(field("metadata.labels[\"a/b\"]").type, Type::string);
    EXPECT_TRUE(router("status").preserve_unknown);
    EXPECT_EQ(router("status.deep[name=a].er").type, Type::any);
    EXPECT_EQ(router("spec.anything.at.all").type, Type::any);
    EXPECT_EQ(field("spec.lost").type, Type::any); // a reference that leads nowhere
}

TEST(KubernetesOpenApi, ListsAndTheirKeys) {
    EXPECT_EQ(field("spec.containers").list_type, ListType::map);
    EXPECT_EQ(field("spec.containers").list_keys, std::vector<std::string>{"name"});
    EXPECT_EQ(field("spec.args").list_type, ListType::none);
    EXPECT_TRUE(field("spec.args").atomic);
    EXPECT_EQ(field("spec.tolerations").list_type, ListType::atomic);
    EXPECT_EQ(field("metadata.finalizers").list_type, ListType::set);
    EXPECT_EQ(field("status.conditions").list_type, ListType::map);
    EXPECT_EQ(field("status.conditions").list_keys, std::vector<std::string>{"type"});
    EXPECT_EQ(field("status.conditions[type=Ready].status").type, Type::string);
}

TEST(KubernetesOpenApi, SaysWhatCannotBeOwnedAlone) {
    EXPECT_EQ(field("spec.replicas").not_ownable, "");
    EXPECT_EQ(field("spec.selector").not_ownable, "");
    EXPECT_EQ(field("spec.selector.matchLabels").not_ownable, "spec.selector is owned as a whole");
    EXPECT_EQ(field("spec.containers[name=a].image").not_ownable, "");
    EXPECT_EQ(field("spec.containers[image=a].name").not_ownable,
              "spec.containers has elements that are told apart by name as well");
    EXPECT_EQ(field("spec.containers[name=a].ports[containerPort=80].hostPort").not_ownable,
              "spec.containers[name=a].ports has elements that are told apart by protocol as well");
    EXPECT_EQ(field("spec.tolerations[key=a]").not_ownable,
              "spec.tolerations is a list without keys, owned as a whole");
}

TEST(KubernetesOpenApi, UnknownPathsNameTheNearest) {
    EXPECT_EQ(path_error("spec.replica"),
              "the path spec.replica does not exist: spec has no field \"replica\" | The nearest fields of "
              "spec: replicas, limits, loop, lost, selector.");
    EXPECT_NE(path_error("spec.containers.name")
                  .find("spec.containers is of type array, which has no fields | Choose an element by its "
                        "fields, for example spec.containers[name=...]."),
              std::string::npos);
    EXPECT_NE(path_error("spec[name=a]").find("spec is of type object, not a list"), std::string::npos);
    EXPECT_NE(path_error("spec.replicas.x").find("spec.replicas is of type integer, which has no fields"),
              std::string::npos);
    EXPECT_NE(path_error("spec.containers[nam=a]").find("has no field \"nam\" | The nearest fields"),
              std::string::npos);
    EXPECT_NE(path_error("oddity").find("the object has no field \"oddity\""), std::string::npos);
}

TEST(KubernetesOpenApi, ReferencesInCirclesEnd) {
    EXPECT_EQ(field("spec.loop.next.next.next").type, Type::object);
    EXPECT_NE(path_error("spec.loop.next.other").find("has no field \"other\""), std::string::npos);
}

TEST(KubernetesOpenApi, ListsChildren) {
    const Schema schema = OpenApiDocument::parse(document).schema("net.example.com", "v1", "Router");
    const auto fields = schema.children(FieldPath::parse("spec"));
    ASSERT_EQ(fields.size(), 5u);
    EXPECT_EQ(fields[0].first, "anything");
    EXPECT_EQ(fields[1].first, "asn");
    EXPECT_EQ(fields[1].second.type, Type::integer);
    EXPECT_TRUE(schema.children(FieldPath::parse("spec.asn")).empty());
    EXPECT_EQ(schema.children(FieldPath()).size(), 2u);
}

TEST(KubernetesOpenApi, RefusesOtherDocuments) {
    for (const char *body : {"", "[]", "{}", R"({"components": 1})", R"({"components": {"schemas": []}})"})
        EXPECT_THROW(OpenApiDocument::parse(body), Failure) << body;
    EXPECT_THROW(OpenApiDocument::parse(document).schema("apps", "v2", "Deployment"), Failure);
}

TEST(KubernetesOpenApi, FindsDocumentsInTheIndex) {
    const char *const index = R"({"paths": {"api/v1": {"serverRelativeURL": "/openapi/v3/api/v1?hash=A"},
        "apis/apps/v1": {"serverRelativeURL": "/openapi/v3/apis/apps/v1?hash=B"}}})";
    EXPECT_EQ(openapi_path(index, "", "v1"), "/openapi/v3/api/v1?hash=A");
    EXPECT_EQ(openapi_path(index, "apps", "v1"), "/openapi/v3/apis/apps/v1?hash=B");
    EXPECT_EQ(openapi_path(index, "none", "v1"), "");
    EXPECT_THROW(openapi_path("[]", "", "v1"), Failure);
}
