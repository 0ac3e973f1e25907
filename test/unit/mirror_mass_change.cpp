// The brakes' arithmetic.
#include "mirror/decision/mass_change.hpp"

#include <gtest/gtest.h>

using namespace dbnet::mirror;

TEST(MassChange, Thresholds) {
    const HoldLimits limits; // 50 objects, or 10 and 20 %
    EXPECT_FALSE(is_mass_change(0, 0, limits));
    EXPECT_FALSE(is_mass_change(9, 9, limits));
    EXPECT_TRUE(is_mass_change(10, 49, limits));
    EXPECT_FALSE(is_mass_change(10, 50, limits));
    EXPECT_TRUE(is_mass_change(11, 54, limits));
    EXPECT_FALSE(is_mass_change(50, 100000, limits));
    EXPECT_TRUE(is_mass_change(51, 100000, limits));
    EXPECT_TRUE(is_mass_change(10, -1, limits)) << "an unknown total counts as none";
    EXPECT_FALSE(is_mass_change(2000000000, 2000000000, {2147483647, 2147483647, 100}));
}

TEST(MassChange, DangerousKinds) {
    EXPECT_TRUE(always_held_delete("", "Namespace"));
    EXPECT_TRUE(always_held_delete("", "PersistentVolume"));
    EXPECT_TRUE(always_held_delete("", "PersistentVolumeClaim"));
    EXPECT_TRUE(always_held_delete("apiextensions.k8s.io", "CustomResourceDefinition"));
    EXPECT_TRUE(always_held_delete("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"));
    EXPECT_TRUE(always_held_delete("admissionregistration.k8s.io", "MutatingWebhookConfiguration"));
    EXPECT_TRUE(always_held_delete("apiregistration.k8s.io", "APIService"));
    EXPECT_FALSE(always_held_delete("", "Node"));
    EXPECT_FALSE(always_held_delete("example.com", "Namespace"));
}

TEST(MassChange, SaysWhatIsTooMuch) {
    const HoldLimits limits{50, 10, 20};
    EXPECT_EQ(mass_change_reason("the transaction", ChangeClass::update, 60, 100, limits),
              "the transaction updates 60 of 100 objects (held are more than 50, and from 10 on more than 20 %)");
    EXPECT_EQ(mass_change_reason("a compare", ChangeClass::remove, 10, 20, limits),
              "a compare deletes 10 of 20 objects (held are more than 50, and from 10 on more than 20 %)");
    EXPECT_EQ(mass_change_reason("a compare", ChangeClass::remove, 9, 10, limits), "");
    EXPECT_EQ(mass_change_reason("a compare", ChangeClass::update, 20, 100, limits), "");
    EXPECT_EQ(mass_change_reason("transaction 7", ChangeClass::update, 6, 0, {5, 10, 20}),
              "transaction 7 updates 6 objects (held are more than 5, and from 10 on more than 20 %)")
        << "with a minimum above the limit nobody counts";
}

TEST(MassChange, GateCountsDistinctObjectsOfTheLastMinute) {
    const HoldLimits limits{3, 100, 100};
    MassChangeGate gate;
    EXPECT_TRUE(gate.admit(ChangeClass::update, "a", 1000, limits, 0));
    EXPECT_TRUE(gate.admit(ChangeClass::update, "b", 1000, limits, 10'000));
    EXPECT_TRUE(gate.admit(ChangeClass::update, "c", 1000, limits, 20'000));
    EXPECT_FALSE(gate.admit(ChangeClass::update, "d", 1000, limits, 30'000));
    EXPECT_TRUE(gate.admit(ChangeClass::update, "a", 1000, limits, 30'000)) << "the same object again";
    EXPECT_TRUE(gate.admit(ChangeClass::remove, "d", 1000, limits, 30'000)) << "deletes are counted apart";
    EXPECT_FALSE(gate.admit(ChangeClass::update, "d", 1000, limits, 60'001)) << "a was changed 30 s ago";
    EXPECT_TRUE(gate.admit(ChangeClass::update, "d", 1000, limits, 70'000)) << "b has left the minute";
    EXPECT_FALSE(gate.admit(ChangeClass::update, "e", 1000, limits, 70'000));
}

TEST(MassChange, GateForgets) {
    MassChangeGate gate;
    const HoldLimits limits{1, 100, 100};
    for (int64_t minute = 0; minute < 1000; minute++)
        EXPECT_TRUE(gate.admit(ChangeClass::remove, std::to_string(minute), 5, limits, minute * 60'000));
}
