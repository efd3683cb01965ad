-- The sample shop for Postgres: 10,000 customers, the same ones each time. Run it as a superuser in the database "shop":
--   createdb shop && psql -d shop -v password="$PASSWORD" -f shop.sql
create table customers (
  id         bigint primary key,
  email      text not null,
  first_name text,
  last_name  text,
  plan       text not null,
  mrr_cents  integer not null,
  country    text not null,
  updated_at timestamptz not null
);

insert into customers
select n,
       'customer' || n || '@shop.example',
       case when n % 50 = 0 then null
            else (array['Ada', 'Grace', 'Edsger', 'Barbara', 'Alan', 'Radia', 'Donald', 'Katherine'])[1 + n % 8] end,
       (array['Keller', 'Okafor', 'Silva', 'Novak', 'Tanaka', 'Moreau', 'Larsen'])[1 + n % 7],
       (array['free', 'team', 'business'])[1 + n % 3],
       (array[0, 4900, 19900])[1 + n % 3],
       (array['DE', 'US', 'BR', 'JP', 'FR'])[1 + n % 5],
       timestamptz '2026-01-01 00:00:00+00' + n * interval '1 minute'
from generate_series(1, 10000) as n;

-- The role that Backflow connects as: it reads the table, and keeps its checkpoints in a schema of its own.
create role backflow login password :'password';
grant select on customers to backflow;
create schema _backflow authorization backflow;
