// As whom requests are made: headers, their encoding, and what no header can say; on the wire and out of kubeconfigs.
#include "kubernetes/credentials/kubeconfig.hpp"
#include "kubernetes/failure.hpp"
#include "kubernetes/impersonation.hpp"
#include "test/unit/kubernetes_transport_support.hpp"

#include <sstream>

using namespace dbnet::kubernetes;

namespace {

using Lines = std::vector<std::string>;

std::string refused_because(const Impersonation &impersonation) {
    try {
        validate(impersonation);
    } catch (const Failure &failure) {
        return failure.what();
    }
    return "";
}

// The lines of a request's head that ask for it.
Lines asked(const dbnet::test::Exchange &exchange) {
    Lines lines;
    std::istringstream head(exchange.head);
    for (std::string line; std::getline(head, line);)
        if (line.starts_with("Impersonate-"))
            lines.push_back(line.substr(0, line.find('\r')));
    return lines;
}

Connection read_user(const std::string &user) {
    return from_kubeconfig_text("current-context: main\nclusters: [{name: c, cluster: {server: 'https://k'}}]\n"
                                "contexts: [{name: main, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {" +
                                    user + "}}]\n",
                                "", "/", "test.yaml");
}

std::string refused_user(const std::string &user) {
    try {
        read_user(user);
    } catch (const Failure &failure) {
        return failure.what();
    }
    return "";
}

} // namespace

TEST(KubernetesImpersonation, Headers) {
    EXPECT_EQ(impersonation_headers({}), Lines{});
    EXPECT_EQ(impersonation_headers({"bob", "", {}, {}}), Lines{"Impersonate-User: bob"});
    EXPECT_EQ(impersonation_headers({"jürgen",
                                     "17",
                                     {"dev", "CN=net,OU=ops"},
                                     {{"example.com/team", {"net", "core"}}, {"scopes", {"view"}}, {"none", {}}}}),
              (Lines{"Impersonate-User: jürgen", "Impersonate-Uid: 17", "Impersonate-Group: dev",
                     "Impersonate-Group: CN=net,OU=ops", "Impersonate-Extra-example.com%2Fteam: net",
                     "Impersonate-Extra-example.com%2Fteam: core", "Impersonate-Extra-scopes: view"}));
}

TEST(KubernetesImpersonation, KeysInNamesOfHeaders) {
    EXPECT_EQ(header_key("azAZ09!#$&'*+-.^_`|~"), "azAZ09!#$&'*+-.^_`|~");
    EXPECT_EQ(header_key("a b%c/d:e\"\r\n\x7fä"), "a%20b%25c%2Fd%3Ae%22%0D%0A%7F%C3%A4");
}

TEST(KubernetesImpersonation, WhatNoHeaderCanSayIsRefused) {
    EXPECT_EQ(refused_because({}), "");
    EXPECT_EQ(refused_because({"system:serviceaccount:net:bot", "u", {"g"}, {{"k", {"v"}}}}), "");
    const std::string nobody = "a uid, groups or extra values to act as are given without a user";
    EXPECT_EQ(refused_because({"", "", {"dev"}, {}}), nobody);
    EXPECT_EQ(refused_because({"", "17", {}, {}}), nobody);
    EXPECT_EQ(refused_because({"", "", {}, {{"k", {"v"}}}}), nobody);
    EXPECT_EQ(refused_because({"bob\r\nImpersonate-Group: system:masters", "", {}, {}}),
              "the user to act as holds a line break or another control character");
    EXPECT_EQ(refused_because({"bob", "1\n", {}, {}}),
              "the uid to act as holds a line break or another control character");
    EXPECT_EQ(refused_because({"bob", "", {"dev", ""}, {}}), "the group to act as is empty");
    EXPECT_EQ(refused_because({"bob ", "", {}, {}}), "the user to act as begins or ends with a space: \"bob \"");
    EXPECT_EQ(refused_because({"bob", "", {}, {{"", {"v"}}}}), "a key of the extra values to act as is empty");
    EXPECT_EQ(refused_because({"bob", "", {}, {{"k", {"v", " v"}}}}),
              "the extra value to act as begins or ends with a space: \" v\"");
}

using KubernetesImpersonationOnTheWire = dbnet::test::TransportTest;

TEST_F(KubernetesImpersonationOnTheWire, EachRequestAsWhomItSays) {
    std::vector<Lines> seen;
    dbnet::test::Server server(dbnet::test::Security::tls, [&](dbnet::test::Exchange &exchange) {
        seen.push_back(asked(exchange));
        dbnet::test::answer_ok(exchange);
    });
    Transport transport;
    Connection connection = dbnet::test::to(server);
    connection.token = "secret";
    connection.impersonation.user = "robot";
    Request request = dbnet::test::get();
    exchange(transport, connection, request);
    request.impersonation = std::make_shared<const Impersonation>(Impersonation{"bob", "", {"a", "b"}, {}});
    exchange(transport, connection, request);
    request.impersonation = std::make_shared<const Impersonation>(Impersonation{"eve", "", {}, {}});
    exchange(transport, connection, request);
    request.impersonation = nullptr;
    exchange(transport, connection, request);
    const Lines bob{"Impersonate-User: bob", "Impersonate-Group: a", "Impersonate-Group: b"};
    EXPECT_EQ(seen, (std::vector<Lines>{
                        {"Impersonate-User: robot"}, bob, {"Impersonate-User: eve"}, {"Impersonate-User: robot"}}));
    EXPECT_EQ(server.connections, 1) << "one connection serves them all";
}

TEST(KubernetesImpersonation, OutOfAKubeconfig) {
    const Impersonation as =
        read_user("token: x, as: bob, as-uid: '17', as-groups: [dev, ops], as-user-extra: {reason: [incident, '42']}")
            .impersonation;
    EXPECT_EQ(as, (Impersonation{"bob", "17", {"dev", "ops"}, {{"reason", {"incident", "42"}}}}));
    EXPECT_TRUE(read_user("token: x, as: '', as-groups: [], as-user-extra: null").impersonation.is_nobody());
    EXPECT_EQ(refused_user("token: x, as-groups: [dev]"),
              "context \"main\" of test.yaml: a uid, groups or extra values to act as are given without a user");
    EXPECT_EQ(refused_user("as: bob"), "context \"main\" of test.yaml: there is a user to act as, and no credentials");
    EXPECT_EQ(refused_user("token: x, as: bob, as-groups: dev"),
              "user \"u\" of test.yaml: as-groups is not a list of texts");
    EXPECT_EQ(refused_user("token: x, as: bob, as-groups: [[dev]]"),
              "user \"u\" of test.yaml: as-groups is not a list of texts");
    EXPECT_EQ(refused_user("token: x, as: bob, as-user-extra: [a]"),
              "user \"u\" of test.yaml: as-user-extra is not a map of lists");
    EXPECT_EQ(refused_user("token: x, as: bob, as-user-extra: {a: b}"),
              "user \"u\" of test.yaml: as-user-extra \"a\" is not a list of texts");
}
