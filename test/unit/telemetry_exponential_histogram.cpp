// The sketch: boundaries of buckets, error of quantiles, exact merging, the bytes.
#include "telemetry/panes/exponential_histogram.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace dbnet::telemetry {
namespace {

ExponentialHistogram of(const std::vector<double> &values) {
    ExponentialHistogram sketch;
    for (const double value : values)
        sketch.add(value);
    return sketch;
}

std::vector<double> log_normal(size_t count, double spread, unsigned seed) {
    std::mt19937_64 random(seed);
    std::lognormal_distribution<double> distribution(15, spread);
    std::vector<double> values(count);
    for (double &value : values)
        value = distribution(random);
    return values;
}

// {1}: version, scale 8, no zeros; buckets.
TEST(TelemetrySketch, BucketsEndAtTheirUpperBound) {
    EXPECT_EQ(of({1}).serialize(), std::string("\x01\x10\x00\x01\x01\x01\x00", 7)); // index -1: up to 1
    EXPECT_EQ(of({std::nextafter(1, 2)}).serialize(),
              std::string("\x01\x10\x00\x01\x00\x01\x00", 7)); // index 0: above 1
    EXPECT_EQ(of({std::nextafter(2, 1)}).serialize(), std::string("\x01\x10\x00\x01\xfe\x03\x01\x00", 8)); // 255
    EXPECT_EQ(of({2}).serialize(), std::string("\x01\x10\x00\x01\xfe\x03\x01\x00", 8));
    EXPECT_EQ(of({-1, 0, -0.0}).serialize(), std::string("\x01\x10\x02\x00\x01\x01\x01", 7));
    EXPECT_EQ(of({NAN, INFINITY, -INFINITY}).count(), 0u);
}

TEST(TelemetrySketch, EveryBucketIsWhereTheLogarithmSays) {
    std::mt19937_64 random(1);
    std::uniform_real_distribution<double> exponents(-1070, 1023);
    for (int i = 0; i < 200000; ++i) {
        const double value = std::exp2(exponents(random));
        ExponentialHistogram sketch;
        sketch.add(value);
        const double found = sketch.quantile(0.5);
        ASSERT_NEAR(found / value, 1, 0.0028) << value;
    }
}

TEST(TelemetrySketch, Extremes) {
    const double least = std::numeric_limits<double>::denorm_min(), most = std::numeric_limits<double>::max();
    ExponentialHistogram sketch = of({least, most, 1, -least, -most, 0});
    EXPECT_EQ(sketch.count(), 6u);
    EXPECT_GE(sketch.scale(), -4);
    EXPECT_EQ(sketch.quantile(1), most);
    EXPECT_LE(sketch.quantile(0), -most / 2);
    ExponentialHistogram back;
    EXPECT_TRUE(back.parse(sketch.serialize()));
    EXPECT_EQ(back.serialize(), sketch.serialize());
    EXPECT_TRUE(std::isnan(ExponentialHistogram().quantile(0.5)));
    EXPECT_TRUE(std::isnan(sketch.quantile(NAN)));
}

TEST(TelemetrySketch, QuantilesAreWithinTheError) {
    for (const double spread : {0.1, 0.5, 1.0, 2.0}) {
        std::vector<double> values = log_normal(20000, spread, 7);
        const ExponentialHistogram sketch = of(values);
        std::sort(values.begin(), values.end());
        const double base = std::exp2(std::ldexp(1, -sketch.scale()));
        for (const double share : {0.01, 0.25, 0.5, 0.9, 0.99, 0.999}) {
            const double exact = values[static_cast<size_t>(share * 20000)];
            EXPECT_NEAR(sketch.quantile(share) / exact, 1, base - 1) << spread << " " << share << " " << sketch.scale();
        }
    }
    EXPECT_EQ(of(std::vector<double>(1000, 1e6)).scale(), 8);
    std::vector<double> decade;
    for (int i = 0; i <= 1000; ++i)
        decade.push_back(std::exp2(i * 0.005)); // a factor of 32
    EXPECT_EQ(of(decade).scale(), 4);
    decade.erase(decade.begin());
    EXPECT_EQ(of(decade).scale(), 5);
}

TEST(TelemetrySketch, MergingIsAsCountingTogether) {
    const std::vector<double> narrow = log_normal(500, 0.05, 1), wide = log_normal(3000, 3, 2);
    std::vector<double> all = narrow;
    all.insert(all.end(), wide.begin(), wide.end());
    all.push_back(-5);
    ExponentialHistogram one = of(narrow), other = of(wide);
    other.add(-5);
    EXPECT_NE(one.scale(), other.scale());
    ExponentialHistogram merged = one;
    merged.merge(other);
    EXPECT_EQ(merged.serialize(), of(all).serialize());
    other.merge(one);
    EXPECT_EQ(other.serialize(), merged.serialize());
    one.merge(one);
    EXPECT_EQ(one.count(), 1000u);
    one.merge(ExponentialHistogram());
    EXPECT_EQ(one.count(), 1000u);
}

TEST(TelemetrySketch, TakesAClientsHistogram) {
    const uint64_t positive[] = {0, 3, 0, 1}, negative[] = {2};
    ExponentialHistogramPoint point{};
    point.scale = 0;
    point.positive_offset = -1; // buckets (1/2, 1], (1, 2], (2, 4], (4, 8]
    point.positive_counts = {positive, 4};
    point.negative_counts = {negative, 1};
    point.zero_count = 4;
    ExponentialHistogram sketch, same;
    EXPECT_TRUE(sketch.merge(point));
    EXPECT_EQ(sketch.count(), 10u);
    for (const double value : {1.5, 1.5, 1.5, 8.0, -2.0, -2.0, 0.0, 0.0, 0.0, 0.0})
        same.add(value);
    ExponentialHistogram rough; // of scale 0
    point.positive_counts = point.negative_counts = {};
    point.zero_count = 0;
    EXPECT_TRUE(rough.merge(point));
    EXPECT_EQ(rough.serialize(), ExponentialHistogram().serialize());
    EXPECT_EQ(sketch.serialize(), std::string("\x01\x00\x04\x03\x00\x03\x00\x01\x01\x00\x02", 11));
    // What no double is in, or no scale is.
    point.positive_counts = {positive, 4};
    for (const auto &[scale, offset] : {std::pair(0, INT32_MAX), std::pair(0, INT32_MIN), std::pair(0, 1022),
                                        std::pair(21, 0), std::pair(-11, 0), std::pair(20, INT32_MAX)}) {
        point.scale = scale;
        point.positive_offset = offset;
        const std::string before = sketch.serialize();
        EXPECT_FALSE(sketch.merge(point)) << scale << " " << offset;
        EXPECT_EQ(sketch.serialize(), before);
    }
    point.scale = 20;
    point.positive_offset = 1 << 20; // just above 2
    EXPECT_TRUE(sketch.merge(point));
    EXPECT_EQ(sketch.serialize(), std::string("\x01\x00\x04\x03\x00\x03\x04\x01\x01\x00\x02", 11));
    const uint64_t huge[] = {UINT64_MAX, UINT64_MAX};
    point.positive_counts = {huge, 2};
    EXPECT_TRUE(sketch.merge(point));
    EXPECT_EQ(sketch.count(), UINT64_MAX);
}

TEST(TelemetrySketch, BytesAreChecked) {
    const std::string good = of(log_normal(1000, 1, 3)).serialize();
    ExponentialHistogram sketch;
    EXPECT_TRUE(sketch.parse(good));
    EXPECT_EQ(sketch.count(), 1000u);
    for (size_t size = 0; size < good.size(); ++size)
        EXPECT_FALSE(sketch.parse(good.substr(0, size))) << size;
    EXPECT_FALSE(sketch.parse(good + '\0'));
    for (const std::string &bad :
         {std::string("\x02\x10\x00\x00\x00", 5),                                               // version
          std::string("\x01\x12\x00\x00\x00", 5),                                               // scale 9
          std::string("\x01\x15\x00\x00\x00", 5),                                               // scale -11
          std::string("\x01\x10\x80\x00\x00\x00", 6),                                           // a long zero
          std::string("\x01\x10\x00\x02\x00\x00\x01\x00", 8),                                   // an empty first bucket
          std::string("\x01\x10\x00\x02\x00\x01\x00\x00", 8),                                   // and last
          std::string("\x01\x10\x00\xa1\x01\x00", 6),                                           // too many buckets
          std::string("\x01\x00\x00\x01\x80\x10\x01\x00", 8),                                   // index 1024 at scale 0
          std::string("\x01\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01\x00\x01\x00", 16)}) // more than 2^64
        EXPECT_FALSE(sketch.parse(bad)) << ::testing::PrintToString(bad);
    EXPECT_EQ(sketch.serialize(), good);
}

} // namespace
} // namespace dbnet::telemetry
