// Field paths: grammar, canonical text, the server's own form, reading and changing documents.
#include "kubernetes/object/path.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

using namespace dbnet::kubernetes;
using nlohmann::json;

namespace {

std::string canonical(std::string_view text) {
    return FieldPath::parse(text).text();
}

// Position and message of the error for a path that must not parse.
std::pair<size_t, std::string> error_of(std::string_view text) {
    try {
        FieldPath::parse(text);
    } catch (const PathError &error) {
        return {error.position(), error.what()};
    }
    return {std::string::npos, "parsed"};
}

} // namespace

TEST(KubernetesPath, ReadsFieldsKeysAndSelectors) {
    const FieldPath path = FieldPath::parse("spec.containers[name=app].ports[containerPort=80,protocol=TCP].hostPort");
    ASSERT_EQ(path.segments().size(), 6u);
    EXPECT_EQ(path.segments()[0].name, "spec");
    EXPECT_EQ(path.segments()[2].selectors, (std::vector<Selector>{{"name", "app", Selector::Type::string}}));
    EXPECT_EQ(path.segments()[4].selectors, (std::vector<Selector>{{"containerPort", "80", Selector::Type::integer},
                                                                   {"protocol", "TCP", Selector::Type::string}}));
    EXPECT_EQ(FieldPath::parse("metadata.labels[\"app.kubernetes.io/name\"]").segments()[2].name,
              "app.kubernetes.io/name");
}

TEST(KubernetesPath, CanonicalTextReadsBackTheSame) {
    EXPECT_EQ(canonical("spec.replicas"), "spec.replicas");
    EXPECT_EQ(canonical("data[\"plain\"]"), "data.plain");
    EXPECT_EQ(canonical("data[\"a.b\"].c"), "data[\"a.b\"].c");
    EXPECT_EQ(canonical("x[name=\"app\"]"), "x[name=app]");
    EXPECT_EQ(canonical("x[name=\"a,b]\"].y"), "x[name=\"a,b]\"].y");
    // A number in quotation marks is a text and stays one.
    EXPECT_EQ(canonical("x[port=\"80\"]"), "x[port=\"80\"]");
    EXPECT_EQ(canonical("x[port=80]"), "x[port=80]");
    EXPECT_EQ(canonical("x[enabled=true]"), "x[enabled=true]");
    EXPECT_EQ(canonical("data[\"\\u00e4\\n\\\"\"]"), "data[\"ä\\n\\\"\"]");
    EXPECT_EQ(canonical("[\"odd first\"].x"), "[\"odd first\"].x");
}

TEST(KubernetesPath, ErrorsNamePositionAndExpectation) {
    EXPECT_EQ(error_of(""), std::pair(size_t{0}, std::string("the path \"\" is not valid: expected a field name at "
                                                             "character 1, the path ends")));
    EXPECT_EQ(error_of("spec..x").first, 5u);
    EXPECT_NE(error_of("spec..x").second.find("expected a field name"), std::string::npos);
    EXPECT_EQ(error_of("spec.x[0].y").first, 7u);
    EXPECT_NE(error_of("spec.x[0].y").second.find("no fixed positions"), std::string::npos);
    EXPECT_EQ(error_of("spec.x[name=app").first, 15u);
    EXPECT_NE(error_of("spec.x[name=app").second.find("expected \"]\" or \",\" at character 16, the path ends"),
              std::string::npos);
    EXPECT_EQ(error_of("spec.x[name]").first, 11u);
    EXPECT_EQ(error_of("data[\"x").first, 7u);
    EXPECT_EQ(error_of("data[\"\\q\"]").first, 5u);
    EXPECT_EQ(error_of("a b").first, 1u);
    EXPECT_NE(error_of("größe").second.find("at character 3, found \"ö\""), std::string::npos);
    std::string deep = "a";
    for (int i = 0; i < 64; ++i)
        deep += ".a";
    EXPECT_NE(error_of(deep).second.find("more than 64 parts"), std::string::npos);
}

TEST(KubernetesPath, UnderstandsTheServersForm) {
    const auto ours = [](std::string_view text) { return FieldPath::from_server(text).text(); };
    EXPECT_EQ(ours(".spec.replicas"), "spec.replicas");
    EXPECT_EQ(ours(".metadata.labels.app.kubernetes.io/name"), "metadata.labels[\"app.kubernetes.io/name\"]");
    EXPECT_EQ(ours(".metadata.annotations.deployment.kubernetes.io/revision"),
              "metadata.annotations[\"deployment.kubernetes.io/revision\"]");
    EXPECT_EQ(ours(".data.a.b"), "data[\"a.b\"]");
    EXPECT_EQ(ours(".spec.template.spec.containers[name=\"c\"].image"), "spec.template.spec.containers[name=c].image");
    EXPECT_EQ(ours(".spec.ports[port=80,protocol=\"TCP\"].nodePort"), "spec.ports[port=80,protocol=TCP].nodePort");
    // Positions and set members have no place in our paths: the list they are in is named.
    EXPECT_EQ(ours("spec.template.spec.containers[0].ports[0].containerPort"), "spec.template.spec.containers");
    EXPECT_EQ(ours(".metadata.finalizers[=\"x\"]"), "metadata.finalizers");
    EXPECT_EQ(ours("[]"), "");
    EXPECT_EQ(ours(""), "");
    EXPECT_EQ(ours(".a[name=\"unclosed"), "a");
}

TEST(KubernetesPath, WritesTheServersForm) {
    EXPECT_EQ(FieldPath::parse("metadata.labels[\"a.b/c\"]").server_text(), ".metadata.labels.a.b/c");
    EXPECT_EQ(FieldPath::parse("spec.containers[name=app].image").server_text(),
              ".spec.containers[name=\"app\"].image");
    EXPECT_EQ(FieldPath::parse("spec.ports[port=80]").server_text(), ".spec.ports[port=80]");
}

TEST(KubernetesPath, ContainsWhatLiesBelow) {
    const FieldPath labels = FieldPath::parse("metadata.labels");
    EXPECT_TRUE(labels.contains(labels.child("app")));
    EXPECT_TRUE(labels.contains(labels));
    EXPECT_FALSE(labels.child("app").contains(labels));
    EXPECT_FALSE(labels.contains(FieldPath::parse("metadata.name")));
    EXPECT_EQ(labels.child("app").parent(), labels);
    EXPECT_TRUE(FieldPath().parent().empty());
}

TEST(KubernetesPath, ReadsDocuments) {
    const json document = json::parse(R"({"spec": {"none": null, "ports": [{"port": 80, "name": "a"}, {"port": "80"},
        {"port": 443, "name": "b", "on": true}]}, "data": {"a.b": "1"}})");
    const auto at = [&](std::string_view path) {
        const json *found = get(document, FieldPath::parse(path));
        return found == nullptr ? std::string("absent") : found->dump();
    };
    EXPECT_EQ(at("data[\"a.b\"]"), "\"1\"");
    EXPECT_EQ(at("spec.none"), "null");
    EXPECT_EQ(at("spec.none.x"), "absent");
    EXPECT_EQ(at("spec.ports[port=443].name"), "\"b\"");
    EXPECT_EQ(at("spec.ports[on=true].name"), "\"b\"");
    EXPECT_EQ(at("spec.ports[port=80].name"), "\"a\"");
    EXPECT_EQ(at("spec.ports[port=\"80\"]"), R"({"port":"80"})"); // the text, not the number
    EXPECT_EQ(at("spec.ports[port=443,name=a]"), "absent");
    EXPECT_EQ(at("spec[port=443]"), "absent");
    EXPECT_EQ(at("spec.ports.port"), "absent");
    EXPECT_EQ(get(document, FieldPath()), &document);
}

TEST(KubernetesPath, SetsValuesAndBuildsTheWayThere) {
    json document = json::object();
    set(document, FieldPath::parse("spec.containers[name=app].ports[containerPort=80,protocol=TCP].hostPort"), 8080);
    set(document, FieldPath::parse("spec.containers[name=app].image"), "nginx");
    set(document, FieldPath::parse("spec.containers[name=\"2\"].image"), "other");
    EXPECT_EQ(document, json::parse(R"({"spec": {"containers": [
        {"name": "app", "image": "nginx", "ports": [{"containerPort": 80, "protocol": "TCP", "hostPort": 8080}]},
        {"name": "2", "image": "other"}]}})"));
    json null_parent = {{"spec", nullptr}};
    set(null_parent, FieldPath::parse("spec.x"), true);
    EXPECT_EQ(null_parent, (json{{"spec", {{"x", true}}}}));
}

TEST(KubernetesPath, RefusesToSetThroughAnotherKindOfValue) {
    json document = {{"spec", {{"replicas", 1}, {"list", json::array()}}}};
    const auto message = [&](std::string_view path) {
        try {
            set(document, FieldPath::parse(path), 1);
        } catch (const Failure &failure) {
            return std::string(failure.what());
        }
        return std::string("done");
    };
    EXPECT_EQ(message("spec.replicas.x"), "cannot set spec.replicas.x: spec.replicas is a number, not an object");
    EXPECT_EQ(message("spec.list.x"), "cannot set spec.list.x: spec.list is an array, not an object");
    EXPECT_EQ(message("spec[a=b]"), "cannot set spec[a=b]: spec is an object, not a list");
}

TEST(KubernetesPath, ErasesAndKeepsWhatIsAround) {
    json document = json::parse(R"({"spec": {"list": [{"name": "a"}, {"name": "b"}], "x": 1}})");
    EXPECT_TRUE(erase(document, FieldPath::parse("spec.list[name=a]")));
    EXPECT_TRUE(erase(document, FieldPath::parse("spec.x")));
    EXPECT_FALSE(erase(document, FieldPath::parse("spec.x")));
    EXPECT_FALSE(erase(document, FieldPath::parse("status.x")));
    EXPECT_FALSE(erase(document, FieldPath()));
    EXPECT_EQ(document, json::parse(R"({"spec": {"list": [{"name": "b"}]}})"));
}

TEST(KubernetesPath, RefusesWhatCannotBeMeant) {
    EXPECT_EQ(error_of("x[a=1,a=2]").first, 6u);
    EXPECT_NE(error_of("x[a=1,a=2]").second.find("does not name already"), std::string::npos);
    EXPECT_EQ(error_of("x[\"\xff\"]").second, "the path is not valid UTF-8");
}
