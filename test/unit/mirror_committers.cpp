// As whom what a role has committed is sent, and what is said when it is not.
#include "mirror/decision/committers.hpp"

#include <gtest/gtest.h>

#include "pg/no_postgres.hpp"

using namespace dbnet::mirror;

namespace {

constexpr uint32_t alice = 11, bob = 12, broken = 13;

Committers committers(bool is_on, bool is_required) {
    using dbnet::kubernetes::Impersonation;
    Committers known{is_on, is_required, {}};
    known.users[alice] = std::make_shared<const Impersonation>(Impersonation{"alice@example.com", "", {}, {}});
    known.users[broken] = nullptr;
    return known;
}

// The user, "" for who the credentials are.
std::string sent_as(const Committers &known, uint32_t role) {
    const ActsAs as = acts_as(known, role);
    return as.is_refused ? "refused" : as.user ? as.user->user : "";
}

} // namespace

TEST(Committers, GoAsTheirUsers) {
    EXPECT_EQ(sent_as(committers(false, false), alice), "") << "while the option is off nobody is told";
    EXPECT_EQ(sent_as(committers(true, false), alice), "alice@example.com");
    EXPECT_EQ(sent_as(committers(true, true), alice), "alice@example.com");
}

TEST(Committers, OthersGoAsTheCredentialsOrNotAtAll) {
    for (const uint32_t role : {bob, 0u}) {
        EXPECT_EQ(sent_as(committers(true, false), role), "");
        EXPECT_EQ(sent_as(committers(true, true), role), "refused");
    }
    EXPECT_EQ(sent_as(committers(true, false), broken), "refused") << "never as somebody else than was said";
}

TEST(Committers, TheRuleThatIsMissing) {
    EXPECT_EQ(
        rule_to_impersonate(
            R"(users "bob" is forbidden: User "dbnet" cannot impersonate resource "users" in API group "" at the cluster scope)"),
        R"({apiGroups: [""], resources: ["users"], resourceNames: ["bob"], verbs: ["impersonate"]})");
    EXPECT_EQ(
        rule_to_impersonate(
            R"(userextras.authentication.k8s.io "view" is forbidden: User "dbnet" cannot impersonate resource "userextras/scopes" in API group "authentication.k8s.io" at the cluster scope)"),
        R"({apiGroups: ["authentication.k8s.io"], resources: ["userextras/scopes"], resourceNames: ["view"], verbs: ["impersonate"]})");
    EXPECT_EQ(
        rule_to_impersonate(
            R"(serviceaccounts "bot" is forbidden: User "dbnet" cannot impersonate resource "serviceaccounts" in API group "" in the namespace "net")"),
        R"({apiGroups: [""], resources: ["serviceaccounts"], resourceNames: ["bot"], verbs: ["impersonate"]} in namespace net)");
    EXPECT_EQ(
        rule_to_impersonate(
            R"(configmaps "a" is forbidden: User "bob" cannot patch resource "configmaps" in API group "" in the namespace "net")"),
        "");
}

TEST(Committers, Words) {
    EXPECT_EQ(refusal_of_role("bob", "prod"),
              "role \"bob\" is no user of server \"prod\", which is sent nothing in the name of somebody else (option "
              "impersonate). Say which one it is with dbnet.map_role().");
    EXPECT_EQ(
        refusal_of_role("", "prod"),
        "it is not on record who has committed the row, and server \"prod\" is sent nothing that nobody has asked "
        "for (option impersonate). Write the row again as a role of dbnet.mapped_role.");
}
