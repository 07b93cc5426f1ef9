// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"database/sql"
	"time"

	"github.com/go-sql-driver/mysql"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Names in both databases.
const (
	databaseName = "test"
	tableName    = "ratings"
)

const notConnected = "could not connect to ratings database"

// fromMySQL reads column Rating of test.ratings. It connects anew for each
// request, as upstream's does, so that what the mesh does to connections shows.
func fromMySQL(address, user, password string, wait time.Duration) source {
	return func(ctx context.Context) ([]int, string, error) {
		ctx, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		db, err := openMySQL(address, user, password, databaseName, false)
		if err != nil {
			return nil, notConnected, err
		}
		defer func() { _ = db.Close() }()
		if err := db.PingContext(ctx); err != nil {
			return nil, notConnected, err
		}
		stars, err := selectStars(ctx, db)
		return stars, "could not perform select", err
	}
}

func selectStars(ctx context.Context, db *sql.DB) ([]int, error) {
	rows, err := db.QueryContext(ctx, "SELECT Rating FROM "+tableName+" ORDER BY ReviewID")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var stars []int
	for rows.Next() {
		var one sql.NullInt32
		if err := rows.Scan(&one); err != nil {
			return nil, err
		}
		stars = append(stars, int(one.Int32))
	}
	return stars, rows.Err()
}

// openMySQL opens a database without connecting to it yet.
func openMySQL(address, user, password, database string, several bool) (*sql.DB, error) {
	config := mysql.NewConfig()
	config.Net, config.Addr, config.User, config.Passwd, config.DBName = "tcp", address, user, password, database
	config.MultiStatements = several
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// fromMongo reads the field rating of each document of collection ratings.
func fromMongo(url string, wait time.Duration) source {
	return func(ctx context.Context) ([]int, string, error) {
		ctx, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		client, err := openMongo(url, wait)
		if err != nil {
			return nil, notConnected, err
		}
		// The answer is known by then.
		defer func() { _ = client.Disconnect(context.WithoutCancel(ctx)) }()
		if err := client.Ping(ctx, nil); err != nil {
			return nil, notConnected, err
		}
		var documents []struct {
			Rating int `bson:"rating"`
		}
		const told = "could not load ratings from database"
		found, err := client.Database(databaseName).Collection(tableName).Find(ctx, bson.D{})
		if err != nil {
			return nil, told, err
		}
		if err := found.All(ctx, &documents); err != nil {
			return nil, told, err
		}
		var stars []int
		for _, d := range documents {
			stars = append(stars, d.Rating)
		}
		return stars, "", nil
	}
}

// openMongo opens a database without connecting to it yet. Timeouts in the URL win.
func openMongo(url string, wait time.Duration) (*mongo.Client, error) {
	return mongo.Connect(options.Client().SetConnectTimeout(wait).SetServerSelectionTimeout(wait).ApplyURI(url))
}
